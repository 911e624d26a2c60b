/** What `writ` prints and reads through real pipes, whose other end is slow, or gone: all of it, or an exit that says so. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CliRun } from '../support/run-cli.ts';
import { runCli } from '../support/run-cli.ts';
import { control, revoke } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { ROOT, makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const PIPE_BYTES = 64 * 1024;
const BULKS = 25;

let dataDir = '';
let work = '';
let writ: WritProcess;
let id = '';
let receipt = '';
beforeAll(async () => {
  [dataDir, work] = [await makeDataDir(), await makeDataDir()];
  writ = await startWrit({ dataDir });
  for (let bulk = 0; bulk < BULKS; bulk += 1) {
    const selectors = Array.from({ length: 1_000 }, (_, i) => ({
      ...{ kind: 'jti', issuer: 'https://idp.example', value: `one-of-many-${bulk}-${i}` },
    }));
    const { status, body } = await revoke(writ, { selectors });
    expect(status).toBe(201);
    id = String(body['id']);
  }
  receipt = (await control(writ, `/v1/receipts/${id}`)).text;
  expect(receipt.length).toBeGreaterThan(PIPE_BYTES);
  const piped = await shell('writ keys > keys; writ receipt "$ID" > receipt; writ ledger > ledger');
  expect(piped).toMatchObject({ code: 0, problems: '' });
  expect((await stat(join(work, 'ledger'))).size).toBeGreaterThan(2_000_000);
}, 60_000);
afterAll(async () => {
  await writ.kill('SIGKILL');
  await removeDataDir(dataDir);
  await removeDataDir(work);
});

/** A line of a shell's, in `work`, where `writ` is the command and what it exits with is what the line does. */
function shell(line: string): Promise<CliRun> {
  const command = `writ() { "${process.execPath}" "${join(ROOT, 'src/main.ts')}" "$@"; }; set -o pipefail; ${line}`;
  return runCli(['-c', command], {
    command: ['bash'],
    cwd: work,
    env: { WRIT_URL: writ.urls.control, WRIT_TOKEN_FILE: join(dataDir, 'admin-token'), ID: id },
  });
}

describe('a pipe', { timeout: 60_000 }, () => {
  /** The last line of a ledger is cosigned meanwhile: only `writ verify` can tell that it is whole. */
  it.each([
    ['a receipt', 'writ receipt "$ID"', 'cmp piped receipt'],
    ['a ledger of megabytes', 'writ ledger', 'cmp <(head -n -1 piped) <(head -n -1 ledger)'],
  ])('whose reader comes late is given every byte of %s', async (_, command, compare) => {
    const run = await shell(
      `${command} | (sleep 1; cat) > piped && ${compare} && writ verify piped --keys keys > verified`,
    );
    expect(run).toEqual({ code: 0, out: '', problems: '' });
  });

  it('whose reader comes late is given the whole of what is shown as JSON', async () => {
    const run = await shell('writ verify receipt --keys keys --json | (sleep 1; cat)');
    expect(run.code).toBe(0);
    expect(JSON.parse(run.out)).toMatchObject({ verified: true, id });
    expect(run.out.length).toBeGreaterThan(PIPE_BYTES);
  });

  it('whose reader has gone makes it 1, without a word; what was not done or is not proven keeps its own number', async () => {
    expect(await shell('writ ledger | head -c 10 > piped')).toMatchObject({ code: 1, problems: '' });
    expect((await readFile(join(work, 'piped'))).length).toBe(10);
    const refuted = await shell('writ verify receipt --keys keys --revocation rev_another | true');
    expect(refuted.code).toBe(5);
  });

  it('that cannot be written to makes it 1, and says why', async () => {
    const full = await shell('writ receipt "$ID" > /dev/full');
    expect(full).toMatchObject({
      code: 1,
      problems: 'standard output: ENOSPC: no space left on device, write\n',
    });
  });

  it.each(['receipt', 'ledger'])('whose writer is slow is read to its end: a %s', async (file) => {
    const slowly = `(sleep 1; head -c 100 ${file}; sleep 1; tail -c +101 ${file})`;
    const run = await shell(`${slowly} | writ verify - --keys keys --json`);
    expect(run).toMatchObject({ code: 0, problems: '' });
    expect(JSON.parse(run.out)).toMatchObject({ verified: true });
  });

  it('from one command to another carries all of it', async () => {
    for (const command of ['writ receipt "$ID"', 'writ ledger'])
      expect(await shell(`${command} | writ verify - --keys keys > verified`)).toMatchObject({ code: 0 });
  });

  it('whose writer says nothing proves nothing and refutes nothing: 2', async () => {
    const nothing = await shell('true | writ verify - --keys keys');
    const problems = 'nothing was given to verify: standard input is empty\n';
    expect(nothing).toMatchObject({ code: 2, out: '', problems });
    const empty = await shell(': > empty; writ verify empty --keys keys');
    expect(empty).toMatchObject({ code: 2, problems: 'nothing was given to verify: empty is empty\n' });
  });
});
