// Gives the UDP sockets of a running server at one port as much room for questions as jiji-dns.socket asks systemd for, so
// that all servers meet a moment's pause of the machine with the same means: some have no setting for it, and drop what
// others answer late. Prints how many sockets were changed.
//
//   socket-room PID PORT BYTES
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Whether it is a UDP socket at the port.
static int is_it(int descriptor, unsigned port) {
  int type = 0;
  socklen_t length = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_DGRAM) return 0;
  struct sockaddr_storage own = {0};
  length = sizeof own;
  if (getsockname(descriptor, (struct sockaddr *)&own, &length) < 0) return 0;
  if (own.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&own)->sin_port) == port;
  return own.ss_family == AF_INET6 && ntohs(((struct sockaddr_in6 *)&own)->sin6_port) == port;
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: socket-room PID PORT BYTES\n"), 2;
  int pid = atoi(argv[1]), bytes = atoi(argv[3]), changed = 0;
  unsigned port = (unsigned)atoi(argv[2]);
  char folder[64];
  snprintf(folder, sizeof folder, "/proc/%d/fd", pid);
  int process = (int)syscall(SYS_pidfd_open, pid, 0);
  DIR *open_files = opendir(folder);
  if (process < 0 || open_files == NULL) return perror(folder), 1;
  for (struct dirent *entry; (entry = readdir(open_files)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    int descriptor = (int)syscall(SYS_pidfd_getfd, process, atoi(entry->d_name), 0);
    if (descriptor < 0) continue;
    if (is_it(descriptor, port) && setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0) changed++;
    close(descriptor);
  }
  printf("%d\n", changed);
  return 0;
}
