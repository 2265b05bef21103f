import { expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";

const repository = join(import.meta.dir, "..", "..");
const canRun = process.platform === "linux" && Bun.which("cc") !== null && availableParallelism() > 1;

test.if(canRun)(
  "one tiny round of everything, from source, gives figures and no wrong answer",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "jiji-bench-smoke-"));
    try {
      const jiji = join(folder, "jiji");
      await writeFile(jiji, `#!/bin/sh\nexec ${process.execPath} ${join(repository, "src/bin/jiji.ts")} "$@"\n`);
      await chmod(jiji, 0o755);
      const bench = Bun.spawn(
        [process.execPath, join(repository, "bench/cli.ts"), "dns", "--smoke", "--json", "--jiji", jiji],
        { stdout: "pipe", stderr: "pipe" },
      );
      const [text, problems, code] = await Promise.all([
        new Response(bench.stdout).text(),
        new Response(bench.stderr).text(),
        bench.exited,
      ]);
      expect({ code, problems: code === 0 ? "" : problems }).toEqual({ code: 0, problems: "" });
      const results = JSON.parse(text);
      const runs = [
        ...results.plain.full.jiji,
        ...results.plain.full["c-loop"],
        ...results.forward.jiji,
        ...results.many.many,
        ...results.busy.runs.jiji,
        ...results.changes.swapping,
      ];
      expect(runs).toHaveLength(8);
      for (const { answered, wrong } of runs)
        expect({ isAnswered: answered > 0, wrong }).toEqual({ isAnswered: true, wrong: 0 });
      expect(results.bars.map(({ what }: { what: string }) => what)).toContain("memory, 1,000 names");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  60_000,
);
