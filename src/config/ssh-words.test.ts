import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseProxyJump, parseSshHost, parseSshUser } from "./ssh-words.ts";

// security-tests: ssh-words
test("hosts, users and hops have a fixed alphabet and never begin with a hyphen", () => {
  const hostile = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.string({
      unit: fc.constantFrom("-", "a", "@", ":", ",", " ", "%", "$", "\n", "`", ";", "/", "[", "]"),
      maxLength: 20,
    }),
  );
  fc.assert(
    fc.property(hostile, (text) => {
      const [host, user, hops] = [parseSshHost(text), parseSshUser(text), parseProxyJump(text)];
      if (host !== undefined) expect(host).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._:-]*$/);
      if (user !== undefined) expect(user).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/);
      if (hops === undefined) return;
      for (const hop of hops.split(",")) expect(hop).toMatch(/^[A-Za-z0-9_[][A-Za-z0-9._:@[\]-]*$/);
    }),
    { numRuns: 2000 },
  );
});

test.each(["-oProxyCommand=x", "-", "a b", "a;b", "a$(b)", "a`b`", "a\nb", "a%h", "a/b", ""])(
  "%j is neither a host, a user nor a hop",
  (text) => {
    expect([parseSshHost(text), parseSshUser(text), parseProxyJump(text)]).toEqual([undefined, undefined, undefined]);
  },
);

test.each(["web1", "deploy@bastion:2222", "a@[2001:db8::1]:22", "one,two", "one, two@three"])("%s is a hop", (text) => {
  expect(parseProxyJump(text)).toBe(text.replaceAll(" ", "") as never);
});

test.each(["user@-oProxyCommand=x", "-l@host", "host:0", "host:65536", "a@b@c", "one,", "[fe80::1%eth0]"])(
  "%s is no hop",
  (text) => {
    expect(parseProxyJump(text)).toBeUndefined();
  },
);
