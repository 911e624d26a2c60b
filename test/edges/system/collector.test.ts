import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const COLLECTOR = fileURLToPath(new URL('../../../src/edges/system/collector.ts', import.meta.url));

/** Objects that live for some scavenges, as those of waiting requests do: what V8 decides of their places. */
function decisionsWith(first: string): string {
  const script = `${first}
    const kept = [];
    const make = (at) => ({ at, list: [at, at + 1, at + 2] });
    for (let at = 0; at < 3_000_000; at++) kept[at % 200_000] = make(at);`;
  const args = [
    '--trace-pretenuring-statistics',
    '--max-semi-space-size=1',
    '--input-type=module',
    '-e',
    script,
  ];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status).toBe(0);
  return stdout;
}

it('keeps what requests allocate young, where V8 by itself would allocate it old', () => {
  const decided = /=> *tenure/;
  expect(decisionsWith('')).toMatch(decided);
  const call = `import { keepRequestsYoung } from ${JSON.stringify(COLLECTOR)}; keepRequestsYoung();`;
  expect(decisionsWith(call)).not.toMatch(decided);
});
