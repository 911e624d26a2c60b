/**
 * What callers saw of one run, and the judgement over it (THREATS 7.1 to 7.3), simulated or live. Times are of one clock that
 * no replica goes by: what is before what is certain.
 */
export interface Asked {
  readonly credential: string;
  readonly replica: string;
  readonly incarnation: string;
  readonly sentMs: number;
  /** When the replica decided; where only callers look, the earliest that it can have been: when they asked. */
  readonly decidedMs: number;
  /** Where only callers look: when the answer was there. The replica had decided by then. */
  readonly answeredMs?: number;
  /** When the lease that it leans on is over; undefined without one, or if it has heard that it is; Infinity where only callers look. */
  readonly leaseEndsMs: number | undefined;
  readonly reason: string;
}

export interface Revoked {
  readonly credential: string;
  readonly by: string;
  readonly sentMs: number;
  /** When a receipt that says so was on disk: nobody can take it back from then on. */
  enforcedMs: number | undefined;
  /** What the caller was told. */
  answered: string | undefined;
  /** Nothing that it depends on was disturbed from the order to `enforced`. */
  isUndisturbed: boolean;
  /** How long it may take from the order to the receipt, undisturbed. */
  dueMs: number;
}

export interface Judgement {
  /** As sentences; none in a good run. */
  readonly violations: readonly string[];
  readonly enforced: number;
  /** Enforced ones whose credential had been allowed five times before, by two replicas at least. */
  readonly counted: number;
  /** Requests that were on their way when something that they ask about became enforced. */
  readonly inFlight: number;
  /** The longest time from an order to `enforced` where nothing was in the way. */
  readonly worstMs: number;
}

const ALLOWS_MIN = 5;
const REPLICAS_MIN = 2;

export function judge(asked: readonly Asked[], revoked: readonly Revoked[]): Judgement {
  const violations = asked.flatMap(outlived);
  const byCredential = Map.groupBy(asked, ({ credential }) => credential);
  let [enforced, counted, inFlight, worstMs] = [0, 0, 0, 0];
  for (const { credential, enforcedMs = Infinity, sentMs, isUndisturbed, dueMs, by } of revoked) {
    const all = byCredential.get(credential) ?? [];
    if (enforcedMs < Infinity) {
      enforced += 1;
      const before = all.filter((one) => one.reason === 'permitted' && latestMs(one) < sentMs);
      const replicas = new Set(before.map(({ replica }) => replica));
      if (before.length >= ALLOWS_MIN && replicas.size >= REPLICAS_MIN) counted += 1;
      inFlight += all.filter((one) => one.sentMs < enforcedMs && latestMs(one) > enforcedMs).length;
      const tookMs = enforcedMs - sentMs;
      if (isUndisturbed) worstMs = Math.max(worstMs, tookMs);
      if (isUndisturbed && tookMs > dueMs)
        violations.push(
          `LATE: ${credential} took ${tookMs.toFixed(0)} ms to be enforced by ${by}, bound ${dueMs} ms`,
        );
    }
    // S1, and more than it: not one is decided so, whenever it was sent.
    for (const one of all)
      if (one.reason === 'permitted' && one.decidedMs >= enforcedMs)
        violations.push(
          `STALE: ${one.replica} (${one.incarnation}) permits ${credential} at ${at(one.decidedMs)}, enforced at ${at(enforcedMs)} by ${by}`,
        );
    violations.push(...goesBack(all));
  }
  return { violations, enforced, counted, inFlight, worstMs };
}

/** S7: each yes stands on a lease: no older than one may be, and of an epoch that is not over as far as was heard. */
function outlived({ replica, credential, reason, decidedMs, leaseEndsMs }: Asked): string[] {
  if (reason !== 'permitted' || decidedMs <= (leaseEndsMs ?? -Infinity)) return [];
  const lease =
    leaseEndsMs === undefined
      ? 'has heard that its lease is over'
      : `its lease was over at ${at(leaseEndsMs)}`;
  return [`UNLEASED: ${replica} permits ${credential} at ${at(decidedMs)} and ${lease}`];
}

/** S5: who has refused a credential because it is revoked permits it never again in that life. */
function goesBack(asked: readonly Asked[]): string[] {
  const refused = new Map<string, number>();
  for (const one of asked)
    if (isRefused(one))
      refused.set(one.incarnation, Math.min(refused.get(one.incarnation) ?? Infinity, latestMs(one)));
  const back = asked.find(
    (one) => one.reason === 'permitted' && one.decidedMs > (refused.get(one.incarnation) ?? Infinity),
  );
  if (back === undefined) return [];
  const { replica, credential, decidedMs, incarnation } = back;
  return [
    `BACK: ${replica} permits ${credential} at ${at(decidedMs)}, which it had refused at ${at(refused.get(incarnation) ?? 0)}`,
  ];
}

/** Because of an order that outlives this replica. */
export function isRefused({ reason }: Pick<Asked, 'reason'>): boolean {
  return reason === 'revoked' || reason === 'locked';
}

function latestMs({ decidedMs, answeredMs = decidedMs }: Asked): number {
  return answeredMs;
}

export function at(ms: number): string {
  return `${(ms / 1000).toFixed(4)} s`;
}
