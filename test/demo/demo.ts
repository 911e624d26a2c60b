/**
 * `npm run demo`: the whole story on this machine, told by a client in a process other than Writ. Every step is
 * checked; it exits 0 only if all held, and leaves no process and no file behind.
 */
import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Reply } from '../support/client.ts';
import { call, keepAlive, listen } from '../support/client.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { ROOT, makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const startedMs = performance.now();
let writ: WritProcess | undefined;
const dataDir = await makeDataDir();

/** Checks one step and says so; the first that does not hold ends the demo. */
function step(sentence: string, holds: boolean, detail = ''): void {
  console.log(`${holds ? '  ok ' : 'FAIL '} ${sentence}${detail === '' ? '' : `  (${detail})`}`);
  if (!holds) throw new Error(sentence);
}

async function mint(running: WritProcess, claims: Record<string, unknown> = {}): Promise<string> {
  const body = { sub: 'billing', scope: 'invoice:read', ttlS: 3600, claims };
  const reply = await call(`${running.urls.control}/v1/dev/tokens`, { token: running.adminToken, body });
  return String(reply.body['token']);
}

function check(running: WritProcess, token: string): Promise<Reply> {
  const body = {
    subject: { type: 'service', id: 'billing' },
    action: { name: 'read' },
    resource: { type: 'invoice', id: '42' },
    context: { credential: { scheme: 'Bearer', token } },
  };
  return call(`${running.urls.data}/access/v1/evaluation`, { body });
}

function reasonOf(reply: Reply): string {
  return String((reply.body['context'] as Record<string, unknown> | undefined)?.['reason']);
}

function verify(receipt: string, keys: string, id: string): number | null {
  const args = [join(ROOT, 'src/main.ts'), 'verify', receipt, '--keys', keys, '--revocation', id, '--json'];
  return spawnSync(process.execPath, args, { encoding: 'utf8' }).status;
}

/** Asks until the answer is a deny, and says when that one was *sent*. */
async function firstDeny(running: WritProcess, token: string, until: { done: boolean }): Promise<number> {
  for (;;) {
    const sentMs = performance.now();
    const reply = await check(running, token);
    if (reply.body['decision'] === false) return sentMs;
    if (until.done) throw new Error('a request that started after `enforced` was allowed');
  }
}

async function story(): Promise<void> {
  writ = await startWrit({ dataDir });
  console.log(`Writ runs as process ${writ.pid}, with the embedded journal in ${dataDir}\n`);
  const { urls, adminToken } = writ;
  const token = await mint(writ);
  const sibling = await mint(writ);

  const allowed = await check(writ, token);
  step('a token of `billing` may read invoice 42', allowed.body['decision'] === true, reasonOf(allowed));
  const session = await call(`${urls.data}/v1/sessions`, {
    body: {
      credential: { scheme: 'Bearer', token },
      kind: 'demo',
      action: { name: 'read' },
      resource: { type: 'invoice', id: '42' },
    },
  });
  step('a live session is opened with it', session.status === 201);
  const stream = await listen(`${urls.data}${String(session.body['events'])}`);

  const order = { selector: { kind: 'token', value: token }, reason: 'demo', wait: 'enforced' };
  const dry = await call(`${urls.control}/v1/revocations`, {
    token: adminToken,
    body: { ...order, dryRun: true },
  });
  step(
    'a dry run says what would die, and nothing does',
    dry.status === 200 && (await check(writ, token)).body['decision'] === true,
    JSON.stringify(dry.body),
  );

  const until = { done: false };
  const askedMs = performance.now();
  const denied = firstDeny(writ, token, until);
  const dead = stream.killed.then(async ({ atMs }) => {
    await call(`${urls.data}${String(session.body['events']).replace('/events', '/closed')}`, {
      method: 'POST',
    });
    return atMs;
  });
  const revoked = await call(`${urls.control}/v1/revocations`, {
    token: adminToken,
    body: order,
    headers: { 'idempotency-key': 'demo-1' },
  });
  const enforcedMs = performance.now();
  until.done = true;
  const id = String(revoked.body['id']);
  step(
    'it is revoked, and Writ says `enforced`',
    revoked.status === 201 && revoked.body['state'] === 'enforced',
    revoked.status !== 201 ? revoked.text : `revoke to enforced ${(enforcedMs - askedMs).toFixed(1)} ms`,
  );
  step(
    'the token is denied',
    true,
    `first deny was asked ${((await denied) - askedMs).toFixed(1)} ms after the revocation`,
  );
  step('the session was told to end', true, `dead stream after ${((await dead) - askedMs).toFixed(1)} ms`);
  await stream.ended;
  step(
    'its session is confirmed dead',
    JSON.stringify(revoked.body['sessions']) === JSON.stringify({ matched: 1, killed: 1, unconfirmed: 0 }),
  );
  const after = await check(writ, token);
  step(
    'asked again, the reason is `revoked`',
    after.body['decision'] === false && reasonOf(after) === 'revoked',
  );
  step('a sibling token still passes (control)', (await check(writ, sibling)).body['decision'] === true);

  const receipt = join(dataDir, 'receipt.txt');
  const keys = join(dataDir, 'fleet.pub');
  await writeFile(receipt, (await call(`${urls.control}/v1/receipts/${id}`, { token: adminToken })).text);
  await writeFile(
    keys,
    `${String((await call(`${urls.control}/v1/keys`, { token: adminToken })).body['log'])}\n`,
  );

  keepAlive.destroy();
  await writ.kill('SIGKILL');
  step('Writ is killed with SIGKILL', true);
  writ = await startWrit({ dataDir });
  const again = await check(writ, token);
  step('started again, it still denies', again.body['decision'] === false && reasonOf(again) === 'revoked');
  step('and the sibling still passes', (await check(writ, sibling)).body['decision'] === true);
  await writ.kill('SIGTERM');
  writ = undefined;

  step('the receipt verifies offline, with Writ gone', verify(receipt, keys, id) === 0);
  const altered = Buffer.from(await readFile(receipt));
  const at = altered.length >> 1;
  altered[at] = (altered[at] ?? 0) ^ 1;
  await writeFile(receipt, altered);
  step('with one altered byte it does not', verify(receipt, keys, id) === 5);
}

try {
  await story();
  console.log(`\nevery step held, in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
} catch (error) {
  console.error(`\nthe demo failed: ${error instanceof Error ? error.message : String(error)}`);
  console.error(writ?.log.join('\n') ?? '');
  process.exitCode = 1;
} finally {
  keepAlive.destroy();
  await writ?.kill('SIGKILL');
  await removeDataDir(dataDir);
}
