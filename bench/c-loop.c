// A DNS responder with as little work as there can be: recvmmsg, a fixed answer after each question, sendmmsg. It is the
// yardstick of `npm run bench -- dns`: what the kernel and the load generator allow. It checks nothing; never serve with it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, PACKET = 2048, ADDRESSES = 3 };

static unsigned char packets[BATCH][PACKET];
static struct sockaddr_in names[BATCH];
static struct iovec iovecs[BATCH];
static struct mmsghdr headers[BATCH];

// Answers in place; gives the answer's length, 0 for what is too short.
static size_t answer(unsigned char *packet, size_t length) {
  static const unsigned char record[16] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 210, 0, 2};
  size_t at = 12;
  while (at < length && packet[at] != 0) at += packet[at] + 1u;
  at += 5;
  if (at > length || at + sizeof record * ADDRESSES > PACKET) return 0;
  packet[2] = 0x85;
  packet[3] = 0x80;
  packet[7] = ADDRESSES;
  packet[11] = 0;
  for (int i = 0; i < ADDRESSES; i++, at += sizeof record) {
    memcpy(packet + at, record, sizeof record);
    packet[at + 15] = (unsigned char)(2 + i);
  }
  return at;
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: c-loop PORT\n"), 2;
  int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
  int size = 4 << 20;
  setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(descriptor, (struct sockaddr *)&own, sizeof own) < 0) return perror("bind"), 1;
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      iovecs[i] = (struct iovec){.iov_base = packets[i], .iov_len = PACKET};
      headers[i].msg_hdr = (struct msghdr){
          .msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &iovecs[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(descriptor, headers, BATCH, MSG_WAITFORONE, NULL);
    if (count < 0) return perror("recvmmsg"), 1;
    for (int i = 0; i < count; i++) iovecs[i].iov_len = answer(packets[i], headers[i].msg_len);
    sendmmsg(descriptor, headers, (unsigned)count, 0);
  }
}
