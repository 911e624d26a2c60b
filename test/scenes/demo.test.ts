import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import { ROOT } from '../support/writ-process.ts';

// A temporary directory of its own: whatever the demo leaves, it leaves here, whoever else is testing.
let temporary = '';
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'writ-scene-'));
});
afterAll(() => rm(temporary, { recursive: true, force: true }));

describe('npm run demo', () => {
  it('tells the whole story, prints what it measured, and leaves no process and no file behind', async () => {
    const { code, out, problems } = await runCli([], {
      command: [process.execPath, join(ROOT, 'test/demo/demo.ts')],
      env: { TMPDIR: temporary },
    });

    expect(problems).toBe('');
    expect(code).toBe(0);
    expect(out).not.toContain('FAIL');
    expect(out).toContain(`the embedded journal in ${temporary}`);
    for (const measured of [
      /revoke to enforced \d+\.\d ms/,
      /first deny was asked \d+\.\d ms/,
      /dead stream after \d+\.\d ms/,
      /every step held, in \d+\.\d s/,
    ])
      expect(out).toMatch(measured);

    expect(readdirSync(temporary)).toEqual([]);
    // Each Writ of the story names its data directory, which was in there, in its arguments.
    const processes = execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' }).split('\n');
    expect(processes.filter((line) => line.includes(temporary))).toEqual([]);
  }, 60_000);
});
