/**
 * Runs a policy on inputs that are as bad as callers can make them, before it may run on the loop. Evaluation is
 * synchronous and cannot be stopped, so a policy whose cost grows too fast is refused here (THREATS 5.4), and so
 * is one that traps. Called by prepare.ts, off the loop.
 */
import type { JsonObject, Json } from '../../kernel/json.ts';
import { parseAnswer } from './answer.ts';
import type { InputPath } from './bundle.ts';
import { invalid, shown } from './bundle.ts';
import { FAILURE } from './host.ts';
import type { PolicyHost } from './host.ts';
import type { PolicyImage } from './image.ts';
import { createInputRenderer } from './projection.ts';

export interface SelfTest {
  /** Median of an ordinary request on the slowest entrypoint, warm. */
  readonly typicalUs: number;
  /** Fastest run of the worst input on the slowest entrypoint. */
  readonly worstUs: number;
}

const WARM_UP_RUNS = 2_000;
const WARM_UP_MS = 20;
const RUNS = 7;

/** POLICY_INVALID when what the rule `decision` says is no answer, to an ordinary request and to none. */
export function requireAnswer(
  host: PolicyHost,
  image: PolicyImage,
  paths: readonly InputPath[] | undefined,
  decision: string,
): void {
  const entrypoint = image.entrypoints.get(decision) ?? 0;
  const answers = [createInputRenderer(paths)(TYPICAL), '{}'].flatMap((json) => {
    const outcome = host.evaluate(entrypoint, json);
    // A partial object that nothing has made says nothing, as undefined does.
    return typeof outcome === 'string' && !outcome.startsWith('[{"result":{}}') ? [parseAnswer(outcome)] : [];
  });
  const wrong = answers.find(({ kind }) => kind === 'error');
  if (wrong?.kind !== 'error' || answers.some(({ kind }) => kind === 'answer')) return;
  throw invalid(`entrypoint ${shown(decision)} answers no request: ${wrong.detail}`);
}

/** POLICY_INVALID when any entrypoint traps, or takes longer than `evaluationMsMax` at its fastest on any input. */
export function selfTest(
  host: PolicyHost,
  image: PolicyImage,
  paths: readonly InputPath[] | undefined,
  evaluationMsMax: number,
): SelfTest {
  const render = createInputRenderer(paths);
  const light = render(TYPICAL);
  const heavy = ['{}', ...heavyInputs(paths).map(render)];
  let typicalUs = 0;
  let worstUs = 0;
  for (const [name, entrypoint] of image.entrypoints) {
    const run = (json: string): void => evaluateOnce(host, entrypoint, { name, json });
    warmUp(() => run(light));
    typicalUs = Math.max(
      typicalUs,
      medianUs(() => run(light)),
    );
    for (const json of heavy) {
      worstUs = Math.max(
        worstUs,
        fastestUs(() => run(json)),
      );
      if (worstUs > evaluationMsMax * 1000) throw tooSlow(name, worstUs, evaluationMsMax);
    }
  }
  return { typicalUs, worstUs: Math.max(typicalUs, worstUs) };
}

function tooSlow(name: string, worstUs: number, evaluationMsMax: number): Error {
  const ms = (worstUs / 1000).toFixed(1);
  return invalid(
    `entrypoint ${shown(name)} is too slow: ${ms} ms on a large input, ${evaluationMsMax} ms are allowed`,
  );
}

/** A contradiction between rules is the policy's own refusal of odd input, and denies. Every other trap is a defect. */
function evaluateOnce(
  host: PolicyHost,
  entrypoint: number,
  { name, json }: { name: string; json: string },
): void {
  const outcome = host.evaluate(entrypoint, json);
  if (outcome === FAILURE.trapped || outcome === FAILURE.outOfMemory)
    throw invalid(`entrypoint ${shown(name)} trapped in its self-test: ${outcome.detail}`);
}

/** Until WebAssembly's second compiler had its turn, which other instances of the module profit from too. */
function warmUp(run: () => void): void {
  const endsMs = performance.now() + WARM_UP_MS;
  for (let i = 0; i < WARM_UP_RUNS && performance.now() < endsMs; i++) run();
}

/** Wall times of `RUNS` runs, fastest first. */
function timesUs(run: () => void): number[] {
  const times = Array.from({ length: RUNS }, () => {
    const startedMs = performance.now();
    run();
    return (performance.now() - startedMs) * 1000;
  });
  return times.sort((left, right) => left - right);
}

function medianUs(run: () => void): number {
  return timesUs(run)[RUNS >> 1] ?? 0;
}

/**
 * The fastest, because a busy machine only ever adds: it must not refuse what an idle one accepts. Where even that one
 * is slow, the runs together count by what this thread was really running; one alone is too short to be told by that.
 */
function fastestUs(run: () => void): number {
  const started = process.threadCpuUsage();
  const fastest = timesUs(run)[0] ?? 0;
  const { user, system } = process.threadCpuUsage(started);
  return fastest < CPU_FROM_US ? fastest : Math.min(fastest, (user + system) / RUNS);
}

/** Below it, no budget is near. */
const CPU_FROM_US = 1_000;

const TYPICAL: JsonObject = {
  subject: { type: 'service', id: 'billing' },
  action: { name: 'read' },
  resource: { type: 'invoice', id: '42' },
  context: {},
  credential: {
    kind: 'jwt',
    issuer: 'https://idp.example',
    scheme: 'Bearer',
    claims: { sub: 'billing', scope: 'openid invoice:read ledger:read', groups: ['finance', 'auditors'] },
    actors: [{ issuer: 'https://idp.example', subject: 'agent' }],
  },
  grants: [
    { subject: { id: 'billing' }, action: 'read', resource: { type: 'invoice' }, until: 4_000_000_000 },
  ],
  now: 1_800_000_000,
};

/** Each path that is read filled with each kind of bulk, one at a time and all at once, on top of an ordinary request. */
function heavyInputs(paths: readonly InputPath[] | undefined): JsonObject[] {
  const filled = paths ?? UNKNOWN_PATHS;
  return BULK.flatMap((bulk) => [
    ...filled.map((path) => withValue(TYPICAL, path, bulk(BULK_ITEMS))),
    filled.reduce((input, path) => withValue(input, path, bulk(BULK_ITEMS / filled.length)), TYPICAL),
  ]);
}

/** Where bulk can be in an access request, for a bundle that does not say what it reads. */
const UNKNOWN_PATHS: readonly InputPath[] = [
  ['subject', 'properties'],
  ['resource', 'properties'],
  ['context'],
  ['context', 'items'],
  ['credential', 'claims', 'scope'],
  ['credential', 'claims', 'groups'],
  ['credential', 'claims', 'roles'],
  ['credential', 'actors'],
  ['grants'],
];

/** About 64 KiB: what a body of the data plane can hold. */
const BULK_ITEMS = 2_000;

const BULK: readonly ((items: number) => Json)[] = [
  (items) => Array.from({ length: items }, (_, i) => `invoice-${i}:read`),
  (items) =>
    Array.from({ length: items }, (_, i) => ({ id: `i${i}`, type: 'invoice', name: 'read', parent: i })),
  (items) => Object.fromEntries(Array.from({ length: items }, (_, i) => [`key-${i}`, `value-${i}`])),
  (items) => Array.from({ length: items }, (_, i) => `invoice-${i}:read`).join(' '),
];

function withValue(object: JsonObject, path: InputPath, value: Json): JsonObject {
  const [name = '', ...rest] = path;
  if (rest.length === 0) return { ...object, [name]: value };
  const below = Object.hasOwn(object, name) ? object[name] : undefined;
  const base =
    typeof below === 'object' && below !== null && !Array.isArray(below) ? (below as JsonObject) : {};
  return { ...object, [name]: withValue(base, rest, value) };
}
