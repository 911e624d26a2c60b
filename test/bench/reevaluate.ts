/**
 * What a change of policy costs while it reaches 100,000 live sessions: how many are decided again in a second, for how
 * long the loop is held beside an idle baseline of the same run, and what a session weighs in memory. With the shipped
 * policy in WebAssembly. `node --expose-gc test/bench/reevaluate.ts [sessions]`; prints, asserts nothing about speed.
 */
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import type { VerifiedCredential } from '../../src/credential/credential.ts';
import { Fingerprinter } from '../../src/credential/handle.ts';
import { GrantTable } from '../../src/decision/grants.ts';
import { openPolicyEngine } from '../../src/edges/opa/engine.ts';
import { FlooredClock, SYSTEM_SOURCES } from '../../src/edges/system/clock.ts';
import { systemTimer } from '../../src/edges/system/timer.ts';
import { Cursor } from '../../src/feed/cursor.ts';
import { Lease } from '../../src/feed/lease.ts';
import { Checker } from '../../src/flows/check.ts';
import { Reevaluator } from '../../src/flows/reevaluate.ts';
import { Reviewer } from '../../src/flows/review.ts';
import { LastAccepts } from '../../src/revocation/last-accepts.ts';
import { RevocationView } from '../../src/revocation/view.ts';
import { groundsOf } from '../../src/session/grounds.ts';
import { SessionRegistry } from '../../src/session/registry.ts';
import { sessionRefOf } from '../../src/session/session.ts';
import { NOT_KEPT } from '../session/sessions.ts';

const clock = new FlooredClock(SYSTEM_SOURCES);
const fingerprinter = new Fingerprinter(new Uint8Array(32).fill(3));
const UNTOLD = { observer: { killed: () => undefined }, ids: { next: () => '' } };
const ISSUER = 'https://idp.example';

export interface Stall {
  readonly wallMs: number;
  readonly cpuMs: number;
}

export interface ReevaluationCost {
  readonly sessions: number;
  readonly perSecond: number;
  /** Worst turn of the loop while nothing is done, and during the pass: by the wall, and by the CPU time of the thread. */
  readonly idle: Stall;
  readonly pass: Stall;
  readonly bytesPerSession: number;
  readonly killed: number;
}

/** Every session has a token of its own, as an identity provider gives them. */
function credentialOf(i: number): VerifiedCredential {
  const nowS = Math.floor(Date.now() / 1000);
  const subject = `service-${String(i)}`;
  const claims = {
    ...{
      iss: ISSUER,
      sub: subject,
      aud: ['https://api.example'],
      client_id: subject,
      jti: `jti-${String(i)}`,
    },
    ...{ iat: nowS, exp: nowS + 3_600, scope: 'openid invoice:read' },
    ...{ sid: `sid-${String(i)}`, azp: subject, tenant: `t-${String(i % 100)}` },
  };
  const names = [
    { kind: 'tok', parts: [String(i)] },
    { kind: 'kid', parts: [ISSUER, 'key-1'] },
    { kind: 'jti', parts: [ISSUER, claims.jti] },
    { kind: 'sid', parts: [ISSUER, claims.sid] },
    { kind: 'iss', parts: [ISSUER] },
    { kind: 'sub', parts: [ISSUER, subject] },
    { kind: 'sub-any', parts: [subject] },
    { kind: 'cli', parts: [ISSUER, subject] },
    { kind: 'all', parts: [] },
  ] as const;
  return {
    ...{
      kind: 'jwt',
      scheme: 'Bearer',
      issuer: ISSUER,
      subject,
      claims,
      actors: [],
      confirmation: undefined,
    },
    ...{ issuedAtS: nowS, notBeforeS: undefined, expiresAtS: nowS + 3_600 },
    handles: fingerprinter.print(names),
  };
}

/** Bytes in use once all that can go has gone. */
function bytesUsed(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function register(sessions: SessionRegistry, reviewer: Reviewer, count: number): void {
  for (let i = 0; i < count; i++) {
    const credential = credentialOf(i);
    const { subject, handles, issuedAtS, expiresAtS } = credential;
    const request = {
      subject: { type: 'service', id: subject },
      action: { name: 'read' },
      resource: { type: i % 10 === 0 ? 'ledger' : 'invoice', id: String(i) },
      ...{ context: { ip: '192.0.2.1' }, credential: undefined },
    };
    const fixed = {
      ref: sessionRefOf(`ses_${String(i)}`),
      kind: 'bench',
      subject,
      handles,
      issuedAtS,
      expiresAtS,
    };
    const grounds = groundsOf(request, credential);
    sessions.register({ ...fixed, selfEnds: false, openedAtMs: Date.now(), grounds }, 0);
    const session = sessions.lookup(fixed.ref);
    if (session !== undefined) reviewer.schedule(session, { issuer: ISSUER, actor: undefined });
  }
}

/** The longest that the loop did not turn while `work` ran. On a busy machine the wall says what others did, too. */
async function worstTurn(work: Promise<unknown>): Promise<Stall> {
  let isDone = false;
  let [wallMs, cpuMs] = [0, 0];
  let [lastMs, lastCpuMs] = [performance.now(), threadCpuMs()];
  const turned = (): void => {
    const [nowMs, nowCpuMs] = [performance.now(), threadCpuMs()];
    wallMs = Math.max(wallMs, nowMs - lastMs);
    cpuMs = Math.max(cpuMs, nowCpuMs - lastCpuMs);
    [lastMs, lastCpuMs] = [nowMs, nowCpuMs];
    if (!isDone) setImmediate(turned);
  };
  setImmediate(turned);
  await work;
  isDone = true;
  return { wallMs, cpuMs };
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

async function wait(isDone: () => boolean): Promise<void> {
  while (!isDone()) await systemTimer.yield();
}

export async function measureReevaluation(count: number): Promise<ReevaluationCost> {
  const bundle = await readFile(new URL('../../policies/bundle.tar.gz', import.meta.url));
  const policy = await openPolicyEngine({ bundle, entrypoint: 'writ/authz/decision', clock });
  const lease = new Lease({ leaseMs: 3_600_000, epsMs: 50 });
  lease.adopt(clock.now());
  const cursor = new Cursor();
  const grants = new GrantTable();
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const checker = new Checker({
    ...{
      view: new RevocationView(fingerprinter),
      fingerprinter,
      lastAccepts: new LastAccepts(),
      hasMemo: false,
    },
    ...{ grants, cursor, lease, policy, clock, clockSkewS: 5 },
    verifier: {
      verify: () => ({ ok: false, reason: 'expired', detail: 'expired' }),
      reverify: (verification) => verification,
      handleOfToken: () => undefined,
    },
  });
  const sessions = new SessionRegistry(NOT_KEPT, 3_000);
  const reviewer = new Reviewer({ checker, sessions, grants, cursor, clock, clockSkewS: 5, log, ...UNTOLD });
  const before = bytesUsed();
  register(sessions, reviewer, count);
  const bytesPerSession = (bytesUsed() - before) / count;
  const idle = await worstTurn(new Promise((resolve) => setTimeout(resolve, 1_000)));
  const reevaluator = new Reevaluator({ reviewer, sessions, clock, timer: systemTimer, log });
  const closing = new AbortController();
  const running = reevaluator.run(closing.signal);
  await wait(() => !reevaluator.isOwing);
  reevaluator.policyChanged();
  const beganMs = performance.now();
  const pass = await worstTurn(wait(() => !reevaluator.isOwing));
  const perSecond = count / ((performance.now() - beganMs) / 1_000);
  closing.abort();
  await running;
  const { reviewed = 0, killed = 0 } = reviewer.counts.get('policy') ?? {};
  if (reviewed !== count) throw new Error(`${String(reviewed)} of ${String(count)} were decided again`);
  return { sessions: count, perSecond, idle, pass, bytesPerSession, killed };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const cost = await measureReevaluation(Number(process.argv[2] ?? 100_000));
  process.stdout.write(`${JSON.stringify(cost, undefined, 2)}\n`);
}
