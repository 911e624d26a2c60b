import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { generateKeyPair, exportJWK } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, listen } from '../support/client.ts';
import { runCliInProcess } from '../support/cli-in-process.ts';
import type { CliRun, CliRunOptions } from '../support/run-cli.ts';
import { runCli } from '../support/run-cli.ts';
import type { Running } from '../support/scene.ts';
import { eventually, evaluate, mint, openSession, reasonOf } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';
import { ROOT, makeDataDir, removeDataDir, startWrit } from '../support/writ-process.ts';

const SCENE_MS = 60_000;

let dataDir = '';
let work = '';
let writ: WritProcess;
beforeAll(async () => {
  [dataDir, work] = [await makeDataDir(), await makeDataDir()];
  writ = await startWrit({ dataDir });
});
afterAll(async () => {
  await writ.kill('SIGKILL');
  await removeDataDir(dataDir);
  await removeDataDir(work);
});

/** Where a command finds `server`, as arguments. */
function at({ urls, dataDir: dir }: WritProcess): string[] {
  const host = (url: string) => url.replace('http://', '');
  const sets = [
    `listen.data=${host(urls.data)}`,
    `listen.control=${host(urls.control)}`,
    `listen.diagnostics=${host(urls.diagnostics)}`,
    `dataDir=${dir}`,
  ];
  return sets.flatMap((one) => ['--set', one]);
}

/** As a shell runs it. */
function shell(args: readonly string[], options: CliRunOptions = {}): Promise<CliRun> {
  return runCli([...args, ...at(writ)], { cwd: work, ...options });
}

/** The same command inside this process: a start costs most of a second, and tells nothing new each time. */
function cli(args: readonly string[], options: CliRunOptions = {}): Promise<CliRun> {
  return runCliInProcess([...args, ...at(writ)], { cwd: work, ...options });
}

function json(run: CliRun): Record<string, unknown> {
  return JSON.parse(run.out) as Record<string, unknown>;
}

async function tokenOf(sub: string): Promise<string> {
  const run = await cli(['token', '--sub', sub, '--scope', 'invoice:read']);
  expect(run).toMatchObject({ code: 0, problems: '' });
  return run.out.trim();
}

const CHECK = ['check', '--token', '-', '--action', 'read', '--resource', 'invoice:42', '--json'];

/** Runs it on a terminal of its own: tables instead of JSON. */
function onTerminal(args: readonly string[]): Promise<CliRun> {
  const line = [process.execPath, join(ROOT, 'src/main.ts'), ...args, ...at(writ)].join(' ');
  return runCli(['-qec', line, '/dev/null'], { command: ['script'], cwd: work });
}

describe('the command writ', () => {
  it('says what it can do, and its version; wrong usage is 2', async () => {
    const [help, version, unknown, nothing, missing, badWord, badKind, badMs, longMs] = await Promise.all([
      runCli(['--help']),
      runCli(['--version'], { command: [process.execPath, join(ROOT, 'bin/writ.js')] }),
      runCli(['frobnicate']),
      runCli([]),
      runCliInProcess(['check', '--action', 'read']),
      runCliInProcess(['revoke', 'jti', 'x', '--wait', 'forever']),
      runCliInProcess(['revoke', 'everything']),
      runCliInProcess(['revoke', 'jti', 'x', '--wait-ms', 'soon']),
      runCliInProcess(['revoke', 'jti', 'x', '--wait-ms', '30001']),
    ]);
    const { version: wanted } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(version).toEqual({ code: 0, out: `${wanted}\n`, problems: '' });
    expect(help.code).toBe(0);
    for (const command of ['serve', 'config', 'revoke', 'check', 'sessions', 'replicas', 'status', 'epoch'])
      expect(help.out).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'));
    for (const command of [
      'token',
      'receipt',
      'ledger',
      'keys',
      'key',
      'verify',
      'policy',
      'revocations',
      'lock',
      'grant',
    ])
      expect(help.out).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'));
    expect(longMs.problems).toContain('at most 30000');
    for (const run of [unknown, nothing, missing, badWord, badKind, badMs, longMs]) {
      expect(run.code).toBe(2);
      expect(run.out).toBe('');
      expect(run.problems).not.toBe('');
    }
  });

  it('runs in the checkout as npx writ', async () => {
    const run = await runCli(['writ', '--version'], { command: ['npx', '--no-install'] });
    expect(run.problems).toBe('');
    expect(run.code).toBe(0);
    expect(run.out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('runs by a link to bin/writ.js, as npm installs it', async () => {
    const link = join(work, 'writ');
    await symlink(join(ROOT, 'bin/writ.js'), link);
    expect((await runCli(['--version'], { command: [process.execPath, link] })).code).toBe(0);
  });

  it('prints a new fleet key every time: 32 bytes, base64url, one line', async () => {
    const [one, two] = await Promise.all([runCli(['key', 'fleet']), runCli(['key', 'fleet'])]);
    expect(one.code).toBe(0);
    expect(one.out).toMatch(/^[A-Za-z0-9_-]{43}\n$/);
    expect(one.out).not.toBe(two.out);
  });

  it('config check names every problem at once, and the keys; exit 1', async () => {
    const file = join(work, 'bad.yaml');
    await writeFile(
      file,
      'lease: 5\nrosterForgets: 1s\nlisten: { data: "nonsense", control: "0.0.0.0:8282" }\nbarrier: maybe\n',
    );
    const bad = await runCli(['config', 'check', file]);
    expect(bad.code).toBe(1);
    for (const key of ['lease', 'rosterForgets', 'listen.data', 'listen.control', 'barrier'])
      expect(bad.problems).toContain(key);
    const good = join(work, 'good.yaml');
    await writeFile(good, 'lease: 5s\n');
    expect(await runCliInProcess(['config', 'check', good])).toMatchObject({ code: 0 });
    expect(await runCliInProcess(['config', 'check', join(work, 'none.yaml')])).toMatchObject({ code: 1 });
    expect(await runCli(['config', 'check'], { env: { WRIT_CONFIG: good } })).toMatchObject({ code: 0 });
    const elsewhere = join(work, 'elsewhere.yaml');
    await writeFile(
      elsewhere,
      `policy: { bundle: none.tar.gz }
issuers: [{ issuer: "https://i", audiences: [a], jwks: { file: "${elsewhere}" } }]
control: { issuers: [{ issuer: "https://i", audiences: [a], jwks: { file: keys.json } }] }
telemetry: { decisionLog: { sink: file, file: nowhere/log } }
`,
    );
    const warned = await runCliInProcess(['config', 'check', elsewhere]);
    expect(warned).toMatchObject({
      code: 0,
      out: 'the configuration is valid, but see the warnings\n',
    });
    expect(warned.problems.trimEnd().split('\n')).toEqual([
      'control.issuers[0].jwks.file: cannot be read on this machine (ENOENT)',
      'policy.bundle: cannot be read on this machine (ENOENT)',
      'telemetry.decisionLog.file: cannot be written on this machine (ENOENT)',
    ]);
    const served = await runCli(['serve', '--config', file]);
    expect(served.code).toBe(1);
    expect(served.problems).toBe(bad.problems);
    const [open, shut] = [join(work, 'open.pass'), join(work, 'shut.pass')];
    await writeFile(open, 'change-me', { mode: 0o644 });
    await writeFile(shut, 'change-me', { mode: 0o600 });
    const exposed = join(work, 'exposed.yaml');
    const yaml = `issuers: [{ issuer: "https://i", audiences: [a], jwks: { file: "${good}" } }]
fleetKeyFile: ${shut}
store: { kind: redis, url: "rediss://r", passwordFile: ${open}, sentinel: { urls: ["redis://s"], passwordFile: ${shut} } }
`;
    await writeFile(exposed, yaml);
    expect((await runCliInProcess(['config', 'check', exposed])).problems).toBe(
      `store.passwordFile: ${open} can be read by every user of this machine (mode 644): chmod 600 it\n`,
    );
    const fleetKeyFile = join(work, 'fleet.key');
    await writeFile(fleetKeyFile, `${'A'.repeat(43)}\n`, { mode: 0o600 });
    const redis = [
      '--set',
      `fleetKeyFile=${fleetKeyFile}`,
      '--set',
      'store.kind=redis',
      '--set',
      'store.url=redis://writ@127.0.0.1:9',
    ];
    const lacking = [
      ...redis,
      '--set',
      'store.passwordFile=/nope',
      '--set',
      `dataDir=${join(work, 'lacking')}`,
    ];
    expect((await runCli(['serve', '--dev', ...lacking], { cwd: work })).problems).toMatch(
      /(^|\n)CONFIG_INVALID: store\.passwordFile: \/nope cannot be read\n$/,
    );
  });

  it('policy check loads the bundle that ships; another file is refused with 1', async () => {
    const bundle = join(ROOT, 'policies/bundle.tar.gz');
    const good = await runCli(['policy', 'check', bundle, '--json']);
    expect(good.code).toBe(0);
    expect(String(json(good)['digest'])).toMatch(/^sha256:/);
    const bad = join(work, 'bundle.tar.gz');
    await writeFile(bad, 'no bundle');
    const refused = await runCliInProcess(['policy', 'check', bad]);
    expect(refused.code).toBe(1);
    expect(refused.problems).toContain('POLICY_INVALID');
  });
});

describe('the command writ, with a server', () => {
  it(
    'mints, checks, revokes and checks again: 0, then 6',
    async () => {
      const token = await tokenOf('billing');
      const allowed = await shell(CHECK, { input: `${token}\n` });
      expect(allowed.code).toBe(0);
      expect(json(allowed)).toMatchObject({ decision: true, context: { reason: 'permitted' } });

      const dry = await shell(['revoke', 'token', '-', '--dry-run'], { input: token });
      expect(dry.code).toBe(0);
      expect(json(dry)).toMatchObject({ dryRun: true, targets: 1, seen: true });
      expect((await shell(CHECK, { input: token })).code).toBe(0);

      const unseen = await cli(['revoke', 'token', '-'], { input: await tokenOf('billing') });
      expect(json(unseen)['seen']).toBe(false);
      // A token is its own spelling.
      expect(unseen).toMatchObject({ code: 0, problems: '' });

      const revoked = await shell(
        ['revoke', 'token', '-', '--reason', 'leaked', '--ticket', 'INC-1', '--idempotency-key', 'cli-1'],
        { input: token },
      );
      expect(revoked.code).toBe(0);
      expect(json(revoked)).toMatchObject({ state: 'enforced', closure: 'CLOSED' });
      const denied = await shell(CHECK, { input: token });
      expect(denied.code).toBe(6);
      expect(json(denied)).toMatchObject({ decision: false, context: { reason: 'revoked' } });

      const repeat = ['revoke', 'token', '-', '--reason', 'leaked', '--ticket', 'INC-1'];
      const again = await shell([...repeat, '--idempotency-key', 'cli-1'], { input: token });
      expect(json(again)['id']).toBe(json(revoked)['id']);
      const conflict = await shell(['revoke', 'token', '-', '--idempotency-key', 'cli-1'], { input: token });
      expect(conflict.code).toBe(1);
      expect(conflict.problems).toContain('IDEMPOTENCY_CONFLICT');
    },
    SCENE_MS,
  );

  it(
    'locks, unlocks, grants and ungrants, and lists what is in force',
    async () => {
      const token = await tokenOf('lockable');
      const check = (action: string) =>
        cli(
          [
            'check',
            '--token',
            '-',
            '--action',
            action,
            '--resource',
            'invoice:42',
            '--subject',
            'service:lockable',
            '--json',
          ],
          {
            input: token,
          },
        );
      const selector = ['subject', 'lockable', '--issuer', 'https://dev.writ.invalid'];
      const locked = await cli(['lock', ...selector, '--expires-in', '2h', '--reason', 'odd traffic']);
      expect(locked.code).toBe(0);
      expect(locked.problems).toMatch(/^nothing that it names was seen here yet/);
      const lock = String(json(locked)['id']);
      expect(json(locked)).toMatchObject({ state: 'enforced', inForce: true });
      const denied = await check('read');
      expect(denied.code).toBe(6);
      expect(json(denied)).toMatchObject({ context: { reason: 'locked', revocation: lock } });
      expect((await cli(['locks'])).out).toContain(lock);
      expect((await cli(['unlock', lock])).code).toBe(0);
      expect(json(await cli(['unlock', lock]))).toMatchObject({ wasOver: true, inForce: false });
      expect((await cli(['locks'])).out).not.toContain(lock);
      expect((await check('read')).code).toBe(0);

      const toGrant = [
        'grant',
        '--subject',
        'service:lockable',
        '--action',
        'delete',
        '--resource',
        'invoice:42',
      ];
      expect((await check('delete')).code).toBe(6);
      const granted = await cli([...toGrant, '--for', '1h', '--idempotency-key', 'cli-grant']);
      expect(granted).toMatchObject({ code: 0, problems: '' });
      const grant = String(json(granted)['id']);
      expect(json(granted)).toMatchObject({ inForce: true, subject: { type: 'service', id: 'lockable' } });
      expect((await check('delete')).code).toBe(0);
      const colons = ['grant', '--subject', ':system:serviceaccount:a', '--action', 'x', '--resource', 'r'];
      expect(json(await cli(colons))['subject']).toEqual({ id: 'system:serviceaccount:a' });
      expect((await cli(['grants'])).out).toContain(grant);
      const taken = await cli(['ungrant', grant]);
      expect(taken.code).toBe(0);
      expect(json(taken)).toMatchObject({ ungrant: { at: expect.any(String) as string, caller: 'admin' } });
      expect((await check('delete')).code).toBe(6);
      expect((await cli(['grants'])).out).not.toContain(grant);
    },
    SCENE_MS,
  );

  it(
    'says what is wrong with a lock or a grant: 2 before it is sent, 1 when the server refuses',
    async () => {
      const usage = await Promise.all([
        cli(['lock', 'subject', 'x']),
        cli(['lock', 'token', 'eyJ.eyJ.x', '--expires-in', '1h']),
        cli(['lock', 'subject', 'x', '--expires-in', 'soon']),
        cli(['lock', 'subject', 'x', '--expires-in', '1h', '--expires-at', '2030-01-01T00:00:00Z']),
        cli(['lock', 'subject', 'x', '--expires-at', 'tomorrow']),
        cli(['lock', 'subject', '--expires-inn', '1h']),
        cli(['grant', '--subject', 'x', '--action', 'a']),
        cli(['grant', '--subject', 'x', '--action', 'a', '--resource', 'r', '--for', '0h']),
        cli(['unlock']),
      ]);
      for (const run of usage) {
        expect(run).toMatchObject({ code: 2, out: '' });
        expect(run.problems).not.toContain('eyJ.eyJ.x');
      }
      const past = await cli(['lock', 'subject', 'x', '--expires-at', '2020-01-01T00:00:00Z']);
      expect(past.code).toBe(1);
      expect(past.problems).toContain('TIME_INVALID');
      const revoked = await cli(['revoke', 'jti', 'for-good', '--issuer', 'i']);
      const unlock = await cli(['unlock', String(json(revoked)['id'])]);
      expect(unlock.code).toBe(1);
      expect(unlock.problems).toContain('NOT_LIFTABLE');
      expect((await cli(['ungrant', 'grt_none'])).code).toBe(1);
    },
    SCENE_MS,
  );

  it(
    'takes a token from standard input only',
    async () => {
      const token = await tokenOf('billing');
      const revoke = await cli(['revoke', 'token', token]);
      const check = await cli(['check', '--token', token, '--action', 'read', '--resource', 'invoice:42']);
      for (const run of [revoke, check]) {
        expect(run.code).toBe(2);
        expect(run.problems).toContain('standard input');
        expect(run.problems).not.toContain(token);
      }
      expect((await cli(CHECK, { input: token })).code).toBe(0);
    },
    SCENE_MS,
  );

  it(
    'names problems of the server with their code and field: 1',
    async () => {
      const run = await cli(['revoke', 'jti', 'x']);
      expect(run.code).toBe(1);
      expect(run.problems).toContain('SELECTOR_INVALID');
      expect(run.problems).toContain('field selector.issuer');
      const nobody = await cli(['receipt', 'rev_none']);
      expect(nobody.code).toBe(1);
      expect(nobody.problems).toContain('NOT_FOUND');
      for (const question of [['sessions'], ['policy', 'status'], ['keys'], ['receipt', 'rev_x']]) {
        const unknown = await cli([...question, '--url', 'http://127.0.0.1:9']);
        expect(unknown.code).toBe(4);
        expect(unknown.problems).toContain('does not answer');
      }
      // An order that cannot have reached anybody was not done.
      expect((await cli(['policy', 'reload', '--url', 'http://127.0.0.1:9'])).code).toBe(1);
      const elsewhere = await runCliInProcess(['status', '--set', `dataDir=${join(work, 'none')}`], {
        cwd: work,
      });
      expect(elsewhere).toMatchObject({ code: 4, out: '' });
      const nowhere = await cli(['sessions', '--url', 'banana']);
      expect(nowhere).toMatchObject({ code: 1, out: '' });
      expect(nowhere.problems).toContain('"banana" is no address of a server');
      const stranger = join(work, 'stranger-token');
      await writeFile(stranger, 'not-the-admin-token');
      const unauthorised = await cli(['sessions', '--token-file', stranger]);
      expect(unauthorised.code).toBe(1);
      expect(unauthorised.problems).toMatch(/^401: UNAUTHENTICATED: /);
      expect(unauthorised.problems).toContain(
        `: ${writ.urls.control} does not take the token in ${stranger}\n`,
      );
      const refused = await cli(['revoke', 'jti', 'x', '--issuer', 'i', '--token-file', stranger]);
      expect(refused.problems).toContain(`: ${writ.urls.control} does not take the token in ${stranger}\n`);
      expect(unauthorised.problems).not.toContain('not-the-admin-token');
    },
    SCENE_MS,
  );

  it(
    'finds its server by --url and --token-file, and by the environment',
    async () => {
      const tokenFile = join(dataDir, 'admin-token');
      const named = await runCli(['sessions', '--url', writ.urls.control, '--token-file', tokenFile], {
        cwd: work,
      });
      expect(named.code).toBe(0);
      const env = { WRIT_URL: writ.urls.control, WRIT_TOKEN_FILE: tokenFile };
      expect((await runCli(['replicas', '--json'], { cwd: work, env })).code).toBe(0);
    },
    SCENE_MS,
  );

  it('takes a value that begins with a dash, and no option that it does not know', async () => {
    const issuer = ['--issuer', 'https://idp.example', '--dry-run'];
    expect(await cli(['revoke', 'jti', '-0dashed', ...issuer])).toMatchObject({ code: 0 });
    for (const wrong of [
      ['revoke', 'issuer', '--dry-rn'],
      ['revoke', 'jti', 'x', '--isuer', 'y'],
    ]) {
      expect(await cli(wrong)).toMatchObject({ code: 2 });
    }
  });

  it(
    'a holder that stays silent makes it partial: 3',
    async () => {
      const minted = await mint(writ, { sub: 'silent' });
      const opened = await openSession(writ, minted.token);
      expect(opened.status).toBe(201);
      const listed = await cli(['sessions', '--json']);
      expect(listed.code).toBe(0);
      expect(listed.out).toContain('"kind":"scene"');
      // The id is a capability: nobody but its holder is shown it.
      expect(listed.out).not.toContain(String(opened.body['id']));
      const run = await cli(['revoke', 'jti', minted.jti, '--issuer', minted.issuer]);
      expect(run.code).toBe(3);
      expect(json(run)).toMatchObject({ state: 'partial', sessions: { matched: 1, unconfirmed: 1 } });
      const id = String(json(run)['id']);
      expect(run.problems).toBe(
        `${id} is partial, not enforced yet: writ revocation ${id} --wait enforced waits on\n`,
      );
      const [loose, stands] = await Promise.all([cli(['status']), cli(['revocation', id])]);
      expect(loose.code).toBe(3);
      expect(json(loose)).toMatchObject({ verdict: 'ready, with loose ends', revocationsOpen: 1 });
      expect(stands.code).toBe(3);
      expect(json(stands)).toMatchObject({ id, state: 'partial' });
      await call(`${writ.urls.data}${String(opened.body['events']).replace('/events', '/closed')}`, {
        method: 'POST',
      });
      const followed = await cli(['revocation', id, '--wait', 'enforced']);
      expect(followed.code).toBe(0);
      expect(json(followed)).toMatchObject({ id, state: 'enforced', closure: 'CLOSED' });
      expect((await cli(['revocation', 'rev_0000000000000000000000'])).problems).toContain('NOT_FOUND');
    },
    SCENE_MS,
  );

  it(
    'lists, and is well: one line for each check',
    async () => {
      const [revocations, replicas, status, checkpoint, shown] = await Promise.all([
        cli(['revocations', '--json']),
        cli(['replicas']),
        cli(['status']),
        cli(['checkpoint']),
        cli(['config', 'show']),
      ]);
      for (const run of [revocations, replicas, status, checkpoint, shown])
        expect(run).toMatchObject({ code: 0, problems: '' });
      expect(json(replicas)['replicas']).toMatchObject([{ self: true, state: 'live' }]);
      expect(json(status)).toMatchObject({ verdict: 'well', replicasLive: 1 });
      expect(json(shown)['settings']).toContainEqual({
        key: 'dataDir',
        value: dataDir,
        from: '--set dataDir',
      });
      const { position } = (json(replicas)['replicas'] as { position: string }[])[0] ?? { position: '' };
      const from = await cli(['ledger', '--from', position]);
      expect(from.out.trim().split('\n').length).toBeLessThan(5);
      expect((await cli(['ledger', '--from', 'yesterday'])).problems).toContain('BAD_REQUEST');
      expect(checkpoint.out).toMatch(/^writ\/default\/\d+\n\d+\n/);
    },
    SCENE_MS,
  );

  it(
    'verifies receipts and ledgers offline: 0; altered, or about another revocation: 5',
    async () => {
      const token = await tokenOf('verified');
      const revoked = await cli(['revoke', 'token', '-'], { input: token });
      const id = String(json(revoked)['id']);
      const [receipt, keys, ledger] = await Promise.all([
        cli(['receipt', id]),
        cli(['keys']),
        cli(['ledger']),
      ]);
      const file = async (name: string, content: string): Promise<string> => {
        await writeFile(join(work, name), content);
        return name;
      };
      const keyFile = await file('fleet.pub', keys.out);
      const verify = (name: string, ...more: string[]) =>
        runCliInProcess(['verify', name, '--keys', keyFile, ...more], { cwd: work });
      const flipped = (content: string) => {
        const bytes = Buffer.from(content);
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
        return bytes.toString('latin1');
      };
      const good = await file('r.txt', receipt.out);
      const altered = await file('altered.txt', flipped(receipt.out));
      const lines = await file('ledger.jsonl', ledger.out);
      const cut = await file('cut.jsonl', ledger.out.split('\n').toSpliced(2, 1).join('\n'));
      const flip = await file('flip.jsonl', flipped(ledger.out));

      const proven = await verify(good, '--revocation', id, '--json');
      expect(proven.code).toBe(0);
      expect(json(proven)).toMatchObject({ verified: true, id, state: 'enforced' });
      const before = '2026-01-01T00:00:00.000Z';
      const ordered = await cli(['revoke', 'subject', 'nobody', '--before', before]);
      const cutoff = await file('cutoff.txt', (await cli(['receipt', String(json(ordered)['id'])])).out);
      expect(json(await verify(cutoff, '--json'))).toMatchObject({
        targets: [{ kind: 'subject', cutoff: before }],
        notCovered: expect.arrayContaining([`credentials issued after the cutoff, ${before}`]) as unknown,
      });
      expect((await verify(lines)).code).toBe(0);
      const refuted = await Promise.all([
        verify(altered),
        verify(good, '--revocation', 'rev_another'),
        verify(cut),
        verify(flip),
      ]);
      for (const run of refuted) {
        expect(run.code).toBe(5);
        expect(run.out).toBe('');
        expect(run.problems).toContain('REFUTED');
      }
      expect((await verify('nothing.txt')).code).toBe(1);
      for (const input of [receipt.out, ledger.out]) {
        const piped = await runCli(['verify', '-', '--keys', join(work, keyFile)], { input });
        expect(piped).toMatchObject({ code: 0, problems: '' });
      }
      expect((await verify(lines, '--revocation', id)).code).toBe(2);
      const other = await file('other.pub', (await runCliInProcess(['key', 'fleet'])).out);
      expect((await runCliInProcess(['verify', good, '--keys', other], { cwd: work })).code).toBe(1);
    },
    SCENE_MS,
  );

  it(
    'shows people tables, and what others wrote with its control characters made visible',
    async () => {
      const token = await tokenOf('evil');
      const evil = `red\u001b[31m\u009b31m\u202eback`;
      const revoked = await cli(['revoke', 'token', '-', '--reason', evil], { input: token });
      expect(revoked.code).toBe(0);
      const id = String(json(revoked)['id']);
      const runs = await Promise.all([
        onTerminal(['revocations']),
        onTerminal(['revocations', '--json']),
        onTerminal(['ledger']),
        onTerminal(['receipt', id]),
        onTerminal(['status']),
      ]);
      for (const { code, out } of runs) {
        expect(code).toBe(0);
        // The terminal itself adds \r\n.
        expect(out).not.toMatch(/[\u0000-\u0009\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e]/);
      }
      const [table, asJson, , , lines] = runs;
      expect(lines?.out).toMatch(/^well\s/);
      expect(lines?.out.trim().split('\n').length).toBeLessThanOrEqual(10);
      expect(table?.out).toContain('red\\u001b[31m\\u009b31m\\u202eback');
      expect(table?.out).toMatch(/^id +position +at +targets/);
      expect(JSON.stringify(JSON.parse(asJson?.out ?? ''))).toContain(JSON.stringify(evil).slice(1, -1));
    },
    SCENE_MS,
  );
});

describe('an answer that never came', () => {
  let deaf: Server;
  let url = '';
  beforeAll(async () => {
    deaf = createServer((socket) => socket.on('error', () => undefined).once('data', () => socket.destroy()));
    deaf.listen(0, '127.0.0.1');
    await once(deaf, 'listening');
    const address = deaf.address();
    url = `http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`;
  });
  afterAll(() => deaf.close());

  it('is unknown, not failed, and says under which key to repeat it: 4', async () => {
    const args = ['revoke', 'jti', 'x', '--issuer', 'https://idp.example', '--url', url];
    const run = await cli(args);
    expect(run.code).toBe(4);
    expect(run.problems).toMatch(/repeat it with --idempotency-key [0-9a-f-]{36}/);
    const own = await cli([...args, '--idempotency-key', 'mine']);
    expect(own.code).toBe(4);
    expect(own.problems).toContain('--idempotency-key mine');
    // Its length would count anew: another order under the same key.
    const lock = await cli(['lock', 'subject', 'x', '--expires-in', '2h', '--url', url]);
    expect(lock.problems).toMatch(/--idempotency-key \S+ --expires-at \d{4}-\d\d-\d\dT\S+Z\n/);
  });

  it.each([
    ['a gateway that gave up', 504, '<html>'],
    ['one that broke off', 201, '{"id":"rev_1",'],
    ['a fault half-way', 500, '{"code":"INTERNAL"}'],
  ])('is unknown too where there is an answer of %s', async (_, status, text) => {
    const server = createHttpServer((req, res) =>
      req.resume().once('end', () => res.writeHead(status).end(text)),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const run = await cli([
      'grant',
      '--subject',
      'x',
      '--action',
      'a',
      '--resource',
      'r',
      '--for',
      '1h',
      '--url',
      `http://127.0.0.1:${port}`,
    ]);
    server.close();
    expect(run.code).toBe(4);
    expect(run.problems).toMatch(/--idempotency-key \S+ --until \d{4}\S+Z\n/);
  });
});

describe('a production start', () => {
  it(
    'says yes to nobody before `writ epoch open --new-fleet`, and is ready after it',
    async () => {
      const dir = await makeDataDir();
      const { publicKey } = await generateKeyPair('ES256', { extractable: true });
      const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] };
      await writeFile(join(dir, 'keys.json'), JSON.stringify(jwks));
      await writeFile(
        join(dir, 'writ.yaml'),
        'issuers:\n  - issuer: https://idp.example\n    audiences: [api]\n    jwks: { file: keys.json }\n',
      );
      const production = await startWrit({
        dataDir: dir,
        dev: false,
        env: { WRIT_CONFIG: join(dir, 'writ.yaml') },
      });
      try {
        const run = (args: readonly string[]) => runCliInProcess([...args, ...at(production)], { cwd: dir });
        const closed = await run(['status']);
        expect(closed.code).toBe(4);
        expect(closed.out).toContain('writ epoch open --new-fleet');
        const question = ['check', '--subject', 'user:u', '--action', 'read', '--resource', 'invoice:42'];
        const fenced = await run(question);
        expect(fenced.code).toBe(4);
        expect(json(fenced)).toMatchObject({ decision: false, context: { reason: 'fenced' } });
        const early = await run(['revoke', 'subject', 'u', '--issuer', 'https://idp.example']);
        expect(early.code).toBe(1);
        expect(early.problems).toBe(
          '503: EPOCH_CLOSED: the feed has no open epoch: /readyz says what it waits for (none is open: in a new fleet, once, writ epoch open --new-fleet; in one that has decided anything, start a replica that has its data first)\nnothing was recorded\n',
        );
        expect((await run(['token', '--sub', 'u'])).code).toBe(1);
        expect((await run(['epoch', 'open'])).code).toBe(2);
        const unreasoned = await run(['epoch', 'open', '--accept-amnesia']);
        expect(unreasoned.code).toBe(2);
        expect(unreasoned.problems).toContain('--accept-amnesia needs --reason <text>');

        const opened = await run(['epoch', 'open', '--new-fleet']);
        expect(opened.code).toBe(0);
        const ready = await eventually(
          () => run(['status']),
          ({ code }) => code === 0,
        );
        expect(json(ready)).toMatchObject({ verdict: 'well' });
        const messages = await eventually(
          async () => production.log.map((line) => (JSON.parse(line) as { message: string }).message),
          (said) => said.includes('ready'),
        );
        // Not before: a supervisor that waits for the line would send traffic to a replica that is fenced.
        expect(messages.indexOf('not ready yet')).toBeGreaterThan(-1);
        expect(messages.indexOf('ready')).toBeGreaterThan(messages.indexOf('not ready yet'));
        expect((await run(['status', '--diagnostics-url', production.urls.diagnostics])).code).toBe(0);
        expect((await run(question)).code).toBe(6);
        const twice = await run(['epoch', 'open', '--new-fleet']);
        expect(twice.code).toBe(1);
        expect(twice.problems).toBe(
          '409: ALREADY_OPEN: an epoch is already open, or another replica is about to open one\n',
        );
        expect((await run(['revoke', 'subject', 'u', '--issuer', 'https://idp.example'])).code).toBe(0);
      } finally {
        await production.kill('SIGKILL');
        await removeDataDir(dir);
      }
    },
    SCENE_MS,
  );
});

describe('npm start', () => {
  it(
    'ends by SIGTERM within 5 s with 0, although an event stream is open, and leaves no server behind',
    async () => {
      const dir = await makeDataDir();
      const sets = [...FREE_PORTS, `dataDir=${dir}`].flatMap((one) => ['--set', one]);
      // A process group of its own, so that nothing outlives a test that fails.
      const npm = spawn('npm', ['start', '--silent', '--', ...sets], {
        cwd: ROOT,
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      });
      try {
        const exited = once(npm, 'exit');
        const messages: string[] = [];
        const started = await startedFrom(npm.stdout, dir, messages);
        const { token } = await mint(started);
        const session = await openSession(started, token);
        const stream = await listen(`${started.urls.data}${String(session.body['events'])}`);
        expect(reasonOf(await evaluate(started, token))).toBe('permitted');

        const askedMs = performance.now();
        npm.kill('SIGTERM');
        expect(await exited).toEqual([0, null]);
        expect(performance.now() - askedMs).toBeLessThan(5_000);
        await stream.ended;
        expect(messages.slice(-2)).toEqual([
          'stopping',
          'live sessions are left behind: the others count this as a crash',
        ]);
        // The directory's lock is free: npm did not end before its server did.
        const again = await startWrit({ dataDir: dir });
        await again.kill('SIGTERM');
        expect(await again.exited).toBe(0);
      } finally {
        killGroup(npm.pid);
        await removeDataDir(dir);
      }
    },
    SCENE_MS,
  );
});

const FREE_PORTS = ['data', 'control', 'diagnostics'].map((name) => `listen.${name}=127.0.0.1:0`);

/** Reads the log until the server is ready, and goes on noting what it says. */
async function startedFrom(log: Readable, dir: string, messages: string[]): Promise<Running> {
  const urls: Record<string, string> = {};
  const isReady = Promise.withResolvers<void>();
  createInterface({ input: log }).on('line', (line) => {
    const { message, listener, address } = JSON.parse(line) as Record<string, string>;
    if (listener !== undefined) urls[listener] = address ?? '';
    messages.push(message ?? '');
    if (message === 'ready') isReady.resolve();
  });
  await isReady.promise;
  const adminToken = (await readFile(join(dir, 'admin-token'), 'utf8')).trim();
  return { urls: urls as unknown as WritProcess['urls'], adminToken };
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    return; // Nobody is left in it: as it should be.
  }
}
