// The load of `npm run bench -- dns`: asks questions as fast as they are answered, or at a fixed rate, over several
// sockets with sendmmsg and recvmmsg, and checks each answer. It spins, so that it takes a core of its own and does not
// wait for the scheduler. One line of JSON says what came back.
//
//   load ADDRESS PORT QUESTIONS SECONDS RATE CLIENTS WINDOW
//
// QUESTIONS: for each one u16 length, u8 rcode, u8 answers, u32 sum of the addresses that its answer must have (big
// endian), then the packet; they are asked in turn. RATE 0: as many as WINDOW questions per client stay unanswered.
// Latency counts from when a question was due, so a server that stalls cannot hide it; a question that is lost counts as
// one that took longest, so a server that drops what it is late for cannot either. p99Us is over the whole run,
// usualP99Us the median of those of each tenth of a second: what the machine does to a few of them does not show there.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, PACKET = 1500, SLOTS = 1024, MAX_CLIENTS = 64, MAX_QUESTION = 280, SLICES = 36000, MAX_US = 200000 };
// Latencies of one tenth of a second are kept to less than a hundredth of their size.
enum { FINE = 128, BUCKETS = FINE * 12 };

struct question { const unsigned char *packet; unsigned length, rcode, answers; uint32_t sum; };
struct slot { uint64_t due_ns; uint32_t question; uint16_t id; char taken; };
struct client { int descriptor; unsigned open, next; struct slot slots[SLOTS]; };

static struct question *questions;
static unsigned question_count;
static struct client clients[MAX_CLIENTS];
static uint32_t histogram[MAX_US + 1];
static uint32_t slices[SLICES];
static uint32_t (*latencies)[BUCKETS];
static unsigned slice_count;
static uint64_t sent, answered, wrong, lost, late, begin_ns, longest_pause_ns;
static char first_wrong[160];

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned u16(const unsigned char *at) { return (unsigned)at[0] << 8 | at[1]; }
static uint32_t u32(const unsigned char *at) { return (uint32_t)u16(at) << 16 | u16(at + 2); }

static int read_questions(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file);
  rewind(file);
  unsigned char *bytes = malloc(size);
  if (bytes == NULL || fread(bytes, 1, size, file) != size) return -1;
  fclose(file);
  for (size_t at = 0; at < size; at += 8 + u16(bytes + at)) question_count++;
  questions = calloc(question_count, sizeof *questions);
  size_t at = 0;
  for (unsigned i = 0; i < question_count; i++, at += 8 + u16(bytes + at)) {
    questions[i] = (struct question){bytes + at + 8, u16(bytes + at), bytes[at + 2], bytes[at + 3], u32(bytes + at + 4)};
    if (questions[i].length > MAX_QUESTION) return -1;
  }
  return question_count > 0 ? 0 : -1;
}

static const char *check(const struct question *q, const unsigned char *packet, unsigned length) {
  // The header's id is what led here; the question must come back as it was, OPT aside.
  unsigned end = 12;
  while (end < q->length && q->packet[end] != 0) end += q->packet[end] + 1u;
  end += 5;
  if (length < end || (packet[2] & 0x80) == 0) return "not an answer";
  if (memcmp(packet + 12, q->packet + 12, end - 12) != 0) return "another question";
  if ((packet[3] & 15u) != q->rcode) return "another rcode";
  if (u16(packet + 6) != q->answers) return "another number of answers";
  uint32_t sum = 0;
  unsigned at = end;
  for (unsigned i = 0; i < q->answers; i++) {
    while (at < length && packet[at] != 0 && packet[at] < 0xc0) at += packet[at] + 1u;
    at += at < length && packet[at] >= 0xc0 ? 2 : 1;
    if (at + 10 > length || at + 10 + u16(packet + at + 8) > length) return "a record that is cut";
    if (u16(packet + at) == 1) sum += u32(packet + at + 10);
    at += 10 + u16(packet + at + 8);
  }
  return sum == q->sum ? NULL : "other addresses";
}

// Below FINE each has its own; then each doubling has FINE of them.
static unsigned bucket_of(uint64_t us) {
  if (us < FINE) return (unsigned)us;
  unsigned doublings = 56 - (unsigned)__builtin_clzll(us); // 63 - log2(FINE) is the highest bit's place below FINE
  unsigned bucket = FINE * (doublings + 1) + (unsigned)(us >> doublings) - FINE;
  return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double us_of(unsigned bucket) {
  if (bucket < FINE) return bucket;
  return (double)((uint64_t)(FINE + bucket % FINE) << (bucket / FINE - 1));
}

static void count_latency(uint64_t due_ns, uint64_t us) {
  if (us > MAX_US) us = MAX_US;
  histogram[us]++;
  uint64_t slice = (due_ns - begin_ns) / 100000000u;
  if (slice < slice_count) latencies[slice][bucket_of(us)]++;
}

static void lose(uint64_t due_ns) {
  lost++;
  count_latency(due_ns, MAX_US);
}

static void take(struct client *c, const unsigned char *packet, unsigned length, uint64_t now) {
  struct slot *slot = &c->slots[length < 12 ? 0 : u16(packet) % SLOTS];
  if (length < 12 || !slot->taken || slot->id != u16(packet)) {
    late++;
    return;
  }
  slot->taken = 0;
  c->open--;
  const char *why = check(&questions[slot->question], packet, length);
  if (why != NULL) {
    if (wrong++ == 0) snprintf(first_wrong, sizeof first_wrong, "%s (question %u)", why, slot->question);
    return;
  }
  answered++;
  count_latency(slot->due_ns, (now - slot->due_ns) / 1000);
  uint64_t slice = (now - begin_ns) / 100000000u;
  if (slice < SLICES) slices[slice]++;
}

static void receive(struct client *c) {
  static unsigned char packets[BATCH][PACKET];
  static struct iovec iovecs[BATCH];
  static struct mmsghdr headers[BATCH];
  for (int i = 0; i < BATCH && headers[i].msg_hdr.msg_iov == NULL; i++) {
    iovecs[i] = (struct iovec){packets[i], PACKET};
    headers[i].msg_hdr.msg_iov = &iovecs[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  int count = recvmmsg(c->descriptor, headers, BATCH, MSG_DONTWAIT, NULL);
  if (count <= 0) return;
  uint64_t now = now_ns();
  for (int i = 0; i < count; i++) take(c, packets[i], headers[i].msg_len, now);
}

// Asks `count` questions; the first was due at `due_ns`, each further one `step_ns` later. Gives how many went out.
static unsigned ask(struct client *c, unsigned count, uint64_t due_ns, uint64_t step_ns) {
  static unsigned char packets[BATCH][MAX_QUESTION];
  static struct iovec iovecs[BATCH];
  static struct mmsghdr headers[BATCH];
  static unsigned turn;
  struct slot *used[BATCH];
  unsigned n = 0;
  for (unsigned tries = 0; n < count && n < BATCH && tries < SLOTS; tries++) {
    unsigned place = c->next++;
    struct slot *slot = &c->slots[place % SLOTS];
    if (slot->taken) continue;
    const struct question *q = &questions[turn];
    *slot = (struct slot){due_ns + n * step_ns, turn, (uint16_t)place, 1};
    turn = turn + 1 == question_count ? 0 : turn + 1;
    memcpy(packets[n], q->packet, q->length);
    packets[n][0] = (unsigned char)(slot->id >> 8);
    packets[n][1] = (unsigned char)slot->id;
    iovecs[n] = (struct iovec){packets[n], q->length};
    headers[n].msg_hdr = (struct msghdr){.msg_iov = &iovecs[n], .msg_iovlen = 1};
    used[n++] = slot;
  }
  if (n == 0) return 0;
  int done = sendmmsg(c->descriptor, headers, n, 0);
  unsigned gone = done < 0 ? 0 : (unsigned)done;
  for (unsigned i = gone; i < n; i++) used[i]->taken = 0;
  c->open += gone;
  sent += gone;
  return gone;
}

static void forget_lost(unsigned client_count, uint64_t now) {
  for (unsigned i = 0; i < client_count; i++) {
    for (unsigned s = 0; s < SLOTS; s++) {
      struct slot *slot = &clients[i].slots[s];
      if (!slot->taken || now < slot->due_ns + 1000000000u) continue;
      slot->taken = 0;
      clients[i].open--;
      lose(slot->due_ns);
    }
  }
}

// Answers that the kernel had no room for in these sockets (sock_diag(7), SK_MEMINFO_DROPS): lost here, not by the server.
static unsigned dropped_here(unsigned client_count) {
  unsigned dropped = 0;
  for (unsigned i = 0; i < client_count; i++) {
    uint32_t info[9] = {0};
    socklen_t length = sizeof info;
    if (getsockopt(clients[i].descriptor, SOL_SOCKET, SO_MEMINFO, info, &length) == 0) dropped += info[8];
  }
  return dropped;
}

static double percentile(double share) {
  uint64_t rest = (uint64_t)((double)(answered + lost) * share);
  for (unsigned us = 0; us <= MAX_US; us++) {
    if (histogram[us] > rest) return us;
    rest -= histogram[us];
  }
  return MAX_US;
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static int compare_us(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

// The median of the p99s of all tenths of a second.
static double usual_p99(void) {
  static double p99s[SLICES];
  unsigned n = 0;
  for (unsigned slice = 0; slice < slice_count; slice++) {
    uint64_t all = 0;
    for (unsigned b = 0; b < BUCKETS; b++) all += latencies[slice][b];
    if (all == 0) continue;
    uint64_t rest = (uint64_t)((double)all * 0.99);
    unsigned bucket = 0;
    while (bucket < BUCKETS - 1 && latencies[slice][bucket] <= rest) rest -= latencies[slice][bucket++];
    p99s[n++] = us_of(bucket);
  }
  qsort(p99s, n, sizeof *p99s, compare_us);
  return n == 0 ? 0 : p99s[n / 2];
}

static void run(unsigned client_count, double seconds, double rate, unsigned window) {
  begin_ns = now_ns();
  uint64_t end_ns = begin_ns + (uint64_t)(seconds * 1e9), clean_ns = begin_ns;
  uint64_t step_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0, due_ns = begin_ns;
  unsigned turn = 0;
  uint64_t before = begin_ns;
  for (uint64_t now = begin_ns; now < end_ns; now = now_ns()) {
    // It never waits, so this is time in which it was not let run: what is late then is not the server's fault.
    if (now - before > longest_pause_ns) longest_pause_ns = now - before;
    before = now;
    for (unsigned i = 0; i < client_count; i++) {
      receive(&clients[i]);
      if (rate == 0 && clients[i].open < window) ask(&clients[i], window - clients[i].open, now_ns(), 0);
    }
    if (rate > 0) {
      now = now_ns();
      uint64_t due = now < due_ns ? 0 : (now - due_ns) / step_ns + 1;
      struct client *c = &clients[turn++ % client_count];
      if (due > 0) due_ns += step_ns * ask(c, due > BATCH ? BATCH : (unsigned)due, due_ns, step_ns);
    }
    if (now - clean_ns > 100000000u) forget_lost(client_count, clean_ns = now);
  }
  // What was due and could not be asked, as all places were taken by what is not answered, is lost as well; not what fell due
  // within the last turns.
  for (; rate > 0 && due_ns + 10000000u < end_ns; due_ns += step_ns) lose(due_ns);
  // What is under way still counts, a little while longer.
  for (uint64_t last = now_ns() + 200000000u, open = 1; open > 0 && now_ns() < last;) {
    open = 0;
    for (unsigned i = 0; i < client_count; i++) {
      receive(&clients[i]);
      open += clients[i].open;
    }
  }
  for (unsigned i = 0; i < client_count; i++) {
    for (unsigned s = 0; s < SLOTS; s++) {
      if (clients[i].slots[s].taken) lose(clients[i].slots[s].due_ns);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 8) return fprintf(stderr, "usage: load ADDRESS PORT QUESTIONS SECONDS RATE CLIENTS WINDOW\n"), 2;
  if (read_questions(argv[3]) < 0) return perror("questions"), 1;
  double seconds = atof(argv[4]), rate = atof(argv[5]);
  unsigned client_count = (unsigned)atoi(argv[6]), window = (unsigned)atoi(argv[7]);
  if (client_count < 1 || client_count > MAX_CLIENTS || window < 1 || window > SLOTS) return 2;
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &server.sin_addr);
  for (unsigned i = 0; i < client_count; i++) {
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (connect(descriptor, (struct sockaddr *)&server, sizeof server) < 0) return perror("connect"), 1;
    clients[i].descriptor = descriptor;
  }
  unsigned count = (unsigned)(seconds * 10);
  if (count > SLICES) count = SLICES;
  slice_count = count;
  latencies = calloc(count > 0 ? count : 1, sizeof *latencies);
  if (latencies == NULL) return perror("calloc"), 1;
  run(client_count, seconds, rate, window);
  qsort(slices, count, sizeof *slices, compare);
  printf("{\"sent\":%llu,\"answered\":%llu,\"wrong\":%llu,\"lost\":%llu,\"late\":%llu,\"droppedHere\":%u,\"longestPauseMs\":%g,\"seconds\":%g,"
         "\"p50Us\":%g,\"p99Us\":%g,\"usualP99Us\":%g,\"p999Us\":%g,\"worstSlice\":%u,\"lowSlice\":%u,\"medianSlice\":%u,\"firstWrong\":\"%s\"}\n",
         (unsigned long long)sent, (unsigned long long)answered, (unsigned long long)wrong, (unsigned long long)lost,
         (unsigned long long)late, dropped_here(client_count), (double)longest_pause_ns / 1e6, seconds, percentile(0.5), percentile(0.99), usual_p99(), percentile(0.999), slices[0],
         slices[count / 10], slices[count / 2], first_wrong);
  return 0;
}
