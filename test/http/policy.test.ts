/** The policy of a running Writ, changed by every trigger, over its real doors and on real files. */
import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compile } from '../edges/opa/bundles.ts';
import type { Reply } from '../support/client.ts';
import { InProcessWrit, contextOf, evaluation } from '../support/in-process.ts';
import { makeDataDir, removeDataDir } from '../support/writ-process.ts';

const DECISION = 'writ/authz/decision';
const entrypoints = [DECISION];

let yes: Uint8Array;
let no: Uint8Array;
beforeAll(async () => {
  yes = await compile({ rego: 'package writ.authz\ndecision := true', entrypoints });
  no = await compile({ rego: 'package writ.authz\ndecision := false', entrypoints });
});

let dir: string;
const opened: InProcessWrit[] = [];
beforeAll(async () => {
  dir = await makeDataDir();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((writ) => writ.remove()));
});
afterAll(() => removeDataDir(dir));

/** A Writ on a bundle file of its own. */
async function start(file: string, bundle: Uint8Array, sets: readonly string[] = []): Promise<InProcessWrit> {
  await writeFile(file, bundle);
  const writ = await InProcessWrit.open({ sets: [`policy.bundle=${file}`, ...sets] });
  opened.push(writ);
  return writ;
}

async function decisionOf(writ: InProcessWrit): Promise<{ decision: unknown; policy: unknown }> {
  const reply = await writ.data('/access/v1/evaluation', { body: evaluation() });
  return { decision: reply.body['decision'], policy: contextOf(reply)['policy'] };
}

function reload(writ: InProcessWrit, body: Record<string, unknown> = {}): Promise<Reply> {
  return writ.control('/v1/policy/reload', { body });
}

function refusalOf(reply: Reply): Record<string, unknown> {
  return (reply.body['refused'] ?? {}) as Record<string, unknown>;
}

/** Asks without a pause until the answer is as wanted: what is waited for happens by itself. */
async function until<T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
  }
}

describe('POST /v1/policy/reload', () => {
  it('loads what the file holds now, and every decision carries the digest of the policy that made it', async () => {
    const file = join(dir, 'reload.tar.gz');
    const writ = await start(file, yes, ['policy.watch=false']);
    const before = await decisionOf(writ);
    expect(before.decision).toBe(true);
    await writeFile(file, no);
    expect(await decisionOf(writ)).toEqual(before);
    const reply = await reload(writ);
    expect(reply).toMatchObject({ status: 200, body: { state: 'loaded' } });
    const after = await decisionOf(writ);
    expect(after).toEqual({ decision: false, policy: reply.body['digest'] });
    expect(after.policy).not.toBe(before.policy);
    expect((await reload(writ)).body['state']).toBe('unchanged');
    expect((await writ.control('/v1/policy')).body).toMatchObject({
      digest: after.policy,
      source: file,
      entrypoints,
      isPure: true,
      reloads: { loaded: 1, refused: 0 },
    });
  });

  it('refuses a broken bundle with the reason, which readiness and log say too, and stays ready', async () => {
    const file = join(dir, 'broken.tar.gz');
    const writ = await start(file, yes, ['policy.watch=false']);
    const before = await decisionOf(writ);
    await writeFile(file, yes.subarray(0, 1_000));
    const reply = await reload(writ);
    expect(reply).toMatchObject({
      status: 422,
      body: { code: 'POLICY_INVALID', detail: 'the bundle is truncated or no gzip' },
    });
    expect(await decisionOf(writ)).toEqual(before);
    const shown = await writ.control('/v1/policy');
    expect(shown.body).toMatchObject({ digest: before.policy, reloads: { loaded: 0, refused: 1 } });
    const refused = refusalOf(shown);
    expect(refused).toMatchObject({ code: 'POLICY_INVALID', detail: 'the bundle is truncated or no gzip' });
    const ready = await writ.diagnostics('/readyz');
    expect(ready.status).toBe(200);
    expect(ready.body['checks']).toContainEqual({
      name: 'policy',
      ok: true,
      detail: `${String(before.policy)} running; ${String(refused['digest'])} refused: the bundle is truncated or no gzip`,
    });
    expect(writ.log).toContain('a policy bundle was refused; the one that runs goes on');
    await rm(file);
    // Whoever opens it waits for ever.
    execFileSync('mkfifo', [file]);
    expect((await reload(writ)).body['detail']).toBe('the bundle is no file');
    await rm(file);
    expect(await reload(writ)).toMatchObject({
      status: 503,
      body: { code: 'POLICY_UNREACHABLE', detail: 'the bundle cannot be read (ENOENT)' },
    });
    expect(JSON.stringify((await writ.diagnostics('/readyz')).body)).toContain(
      'the one at the source refused: the bundle cannot be read (ENOENT)',
    );
  });

  it('is for administrators, and takes allowOlder and nothing else', async () => {
    const writ = await start(join(dir, 'admin.tar.gz'), yes, ['policy.watch=false']);
    expect((await writ.control('/v1/policy/reload', { body: {}, token: '' })).status).toBe(401);
    expect((await writ.control('/v1/policy', { token: '' })).status).toBe(401);
    expect((await reload(writ, { allowOlder: 1 })).status).toBe(400);
    expect((await reload(writ, { older: true })).status).toBe(400);
    expect((await reload(writ, { allowOlder: true })).status).toBe(200);
  });

  it('refuses an older revision, also after a restart, until an operator allows it', async () => {
    const file = join(dir, 'older.tar.gz');
    const [first, second] = await Promise.all(
      ['1', '2'].map((revision) =>
        compile({
          rego: `package writ.authz\ndecision := {"allow": true, "reason": "${revision}"}`,
          entrypoints,
          flags: ['-r', revision],
        }),
      ),
    );
    if (first === undefined || second === undefined) throw new Error('no bundles');
    const writ = await start(file, second, ['policy.watch=false']);
    await writeFile(file, first);
    expect(await reload(writ)).toMatchObject({
      status: 422,
      body: {
        detail:
          'the bundle is older than the one that ran last: revision "1" after 2; --allow-older lets it run',
      },
    });
    await writ.close();
    opened.splice(opened.indexOf(writ), 1);
    const sets = [`policy.bundle=${file}`];
    await expect(InProcessWrit.open({ sets, dataDir: writ.dataDir })).rejects.toMatchObject({
      code: 'POLICY_INVALID',
    });
    const back = await InProcessWrit.open({ sets, dataDir: writ.dataDir, allowOlderPolicy: true });
    expect((await back.control('/v1/policy')).body).toMatchObject({ revision: '1' });
    await back.close();
    await writeFile(file, second);
    const again = await InProcessWrit.open({ sets: [...sets, 'policy.watch=false'], dataDir: writ.dataDir });
    opened.push(again);
    await writeFile(file, first);
    expect(await reload(again, { allowOlder: true })).toMatchObject({ status: 200 });
    expect((await again.control('/v1/policy')).body['revision']).toBe('1');
    expect(again.log).toContain('an operator lets a policy run that would be refused');
  });
});

describe('a watched bundle', () => {
  const isDenied = ({ decision }: { decision: unknown }) => decision === false;

  it('is loaded when it is replaced by rename', async () => {
    const file = join(dir, 'renamed.tar.gz');
    const writ = await start(file, yes);
    await writeFile(`${file}.new`, no);
    await rename(`${file}.new`, file);
    await until(() => decisionOf(writ), isDenied);
  });

  it('is loaded when it is written over in steps: half of it is refused at most, and changes nothing', async () => {
    const file = join(dir, 'steps.tar.gz');
    const writ = await start(file, yes);
    const half = no.length >> 1;
    await writeFile(file, no.subarray(0, half));
    await until(
      () => writ.control('/v1/policy'),
      (reply) => refusalOf(reply)['code'] === 'POLICY_INVALID',
    );
    expect(isDenied(await decisionOf(writ))).toBe(false);
    await writeFile(file, no.subarray(half), { flag: 'a' });
    await until(() => decisionOf(writ), isDenied);
    expect(refusalOf(await writ.control('/v1/policy'))).toEqual({});
  });

  it('is loaded when the link that leads to it is swapped, as Kubernetes does it', async () => {
    const mount = join(dir, 'mount');
    for (const [version, bundle] of [
      ['..1', yes],
      ['..2', no],
    ] as const) {
      await mkdir(join(mount, version), { recursive: true });
      await writeFile(join(mount, version, 'bundle.tar.gz'), bundle);
    }
    await symlink('..1', join(mount, '..data'));
    await symlink('..data/bundle.tar.gz', join(mount, 'bundle.tar.gz'));
    const writ = await InProcessWrit.open({ sets: [`policy.bundle=${join(mount, 'bundle.tar.gz')}`] });
    opened.push(writ);
    expect(isDenied(await decisionOf(writ))).toBe(false);
    await symlink('..2', join(mount, '..data_tmp'));
    await rename(join(mount, '..data_tmp'), join(mount, '..data'));
    await until(() => decisionOf(writ), isDenied);
  });

  it('keeps running what was there when it is taken away, and loads what comes instead', async () => {
    const file = join(dir, 'gone.tar.gz');
    const writ = await start(file, yes);
    const aside = join(dir, 'aside.tar.gz');
    await writeFile(aside, no);
    await rm(file);
    expect(isDenied(await decisionOf(writ))).toBe(false);
    await copyFile(aside, file);
    await until(() => decisionOf(writ), isDenied);
  });

  it('is what ran before for every decision while another one is prepared, and none is without a policy', async () => {
    const file = join(dir, 'under-way.tar.gz');
    const writ = await start(file, yes, ['policy.watch=false']);
    await writeFile(file, no);
    const loading = reload(writ);
    const seen: Awaited<ReturnType<typeof decisionOf>>[] = [];
    let isLoading = true;
    void loading.finally(() => (isLoading = false));
    while (isLoading) seen.push(await decisionOf(writ));
    const after = await decisionOf(writ);
    expect(after).toEqual({ decision: false, policy: (await loading).body['digest'] });
    expect(seen.length).toBeGreaterThan(3);
    // A digest and the decision that goes with it are never of two policies.
    for (const { decision, policy } of seen) expect(decision).toBe(policy !== after.policy);
  });
});

describe('a replica on a bundle server', () => {
  /** A server whose answer a test can change; closed after it. */
  async function serveBundles(): Promise<{
    url: string;
    has: (answer: Uint8Array | number) => void;
    close: () => void;
  }> {
    let answer: Uint8Array | number = yes;
    const server = createServer((_, response) => {
      if (typeof answer === 'number') response.writeHead(answer).end();
      else response.writeHead(200, { 'content-type': 'application/gzip' }).end(answer);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/bundle.tar.gz`,
      has: (next) => (answer = next),
      close: () => {
        server.closeAllConnections();
        server.close();
      },
    };
  }

  it('runs what the server has, keeps it over a restart without the server, and says what is wrong', async () => {
    const bundles = await serveBundles();
    const sets = [`policy.url=${bundles.url}`];
    const writ = await InProcessWrit.open({ sets });
    expect((await decisionOf(writ)).decision).toBe(true);
    bundles.has(no);
    expect((await reload(writ)).body['state']).toBe('loaded');
    const denied = await decisionOf(writ);
    expect(denied.decision).toBe(false);
    bundles.has(503);
    expect(await reload(writ)).toMatchObject({
      status: 503,
      body: { code: 'POLICY_UNREACHABLE', detail: 'the bundle server answered 503' },
    });
    await writ.close();
    bundles.close();
    const again = await InProcessWrit.open({ sets, dataDir: writ.dataDir });
    opened.push(again);
    expect(await decisionOf(again)).toEqual(denied);
    expect((await again.diagnostics('/readyz')).status).toBe(200);
    expect(refusalOf(await again.control('/v1/policy'))).toMatchObject({ code: 'POLICY_UNREACHABLE' });
  });

  it('loads by itself what the server has next', async () => {
    const bundles = await serveBundles();
    const sets = [`policy.url=${bundles.url}`, 'policy.pollMin=1s', 'policy.pollMax=1s'];
    const writ = await InProcessWrit.open({ sets });
    opened.push(writ);
    bundles.has(no);
    await until(
      () => decisionOf(writ),
      ({ decision }) => decision === false,
    );
    bundles.close();
  });

  it('does not start without a bundle, nor with one that is not signed where it must be', async () => {
    const bundles = await serveBundles();
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const publicKeyFile = join(dir, 'signer.pem');
    await writeFile(publicKeyFile, publicKey.export({ type: 'spki', format: 'pem' }));
    const signing = `policy.signing={ keys: [{ publicKeyFile: ${publicKeyFile} }] }`;
    await expect(InProcessWrit.open({ sets: [`policy.url=${bundles.url}`, signing] })).rejects.toMatchObject({
      code: 'POLICY_INVALID',
      message: 'the bundle is not signed, and policy.signing says that it must be',
    });
    bundles.has(404);
    await expect(InProcessWrit.open({ sets: [`policy.url=${bundles.url}`] })).rejects.toMatchObject({
      code: 'POLICY_UNREACHABLE',
    });
    bundles.close();
  });
});

describe('a replica that starts', () => {
  it('names the bundle that it cannot run', async () => {
    const file = join(dir, 'bad.tar.gz');
    await writeFile(file, 'no bundle');
    await expect(InProcessWrit.open({ sets: [`policy.bundle=${file}`] })).rejects.toMatchObject({
      code: 'POLICY_INVALID',
      message: 'the bundle is truncated or no gzip',
    });
    expect(await readFile(file, 'utf8')).toBe('no bundle');
  });
});
