// Prints the addresses that getaddrinfo gives for a name, one a line; exit 1 when there are none.
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  struct addrinfo hints = {0}, *found;
  char text[INET6_ADDRSTRLEN];
  if (argc != 2) return 2;
  hints.ai_socktype = SOCK_STREAM;
  int code = getaddrinfo(argv[1], 0, &hints, &found);
  if (code != 0) {
    puts(gai_strerror(code));
    return 1;
  }
  for (; found; found = found->ai_next) {
    const void *address = found->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)found->ai_addr)->sin_addr
                                                      : (void *)&((struct sockaddr_in6 *)found->ai_addr)->sin6_addr;
    puts(inet_ntop(found->ai_family, address, text, sizeof text));
  }
  return 0;
}
