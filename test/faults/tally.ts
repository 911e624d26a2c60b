/** The sums over many runs, and whether they count: a harness that shows nothing must not look like one that found nothing. */
import { LEASE_MS } from '../support/replica-harness.ts';
import { boundMs } from './fleet.ts';
import { FAULTS } from './nemesis.ts';
import type { Outcome } from './simulate.ts';

const SUMMED = [
  'decisions',
  'revocations',
  'enforced',
  'counted',
  'inFlight',
  'lost',
  'simulatedMs',
] as const;

export class Tally {
  readonly #sums = new Map<string, number>();
  readonly #effects = new Map<string, number>();
  readonly #outcomes: Pick<Outcome, 'worstMs' | 'healedMs' | 'isAmnesiac'>[] = [];
  /** Runs in which something did not hold. */
  readonly failed: Outcome[] = [];

  add(outcome: Outcome): void {
    for (const key of SUMMED) this.#sums.set(key, this.#sum(key) + outcome[key]);
    for (const [name, count] of outcome.effects) this.#effects.set(name, this.#seen(name) + count);
    const { worstMs, healedMs, isAmnesiac } = outcome;
    this.#outcomes.push({ worstMs, healedMs, isAmnesiac });
    if (outcome.violations.length > 0) this.failed.push(outcome);
  }

  get runs(): number {
    return this.#outcomes.length;
  }

  /** Why these runs show nothing; none when they count. */
  get vacuities(): string[] {
    const unseen = faultNames().filter((name) => this.#seen(name) === 0);
    return [
      ...unseen.map((name) => `no effect was seen of: ${name}`),
      ...(this.#sum('inFlight') === 0 ? ['no request was on its way when anything became enforced'] : []),
      ...(2 * this.#sum('counted') < this.#sum('revocations')
        ? ['half of the revocations were not enforced after five allows by two replicas']
        : []),
    ];
  }

  render(): string[] {
    const worstMs = Math.max(0, ...this.#outcomes.map((one) => one.worstMs));
    const healedMs = Math.max(
      0,
      ...this.#outcomes.filter((one) => !one.isAmnesiac).map((one) => one.healedMs),
    );
    const stale = this.failed.filter(({ violations }) => violations.some((text) => text.startsWith('STALE')));
    const rows: [string, string | number][] = [
      ['runs', this.runs],
      ['simulated hours', (this.#sum('simulatedMs') / 3_600_000).toFixed(2)],
      ['decisions checked', this.#sum('decisions')],
      ['revocations', this.#sum('revocations')],
      ['enforced', this.#sum('enforced')],
      ['of them after 5 allows by 2 replicas', this.#sum('counted')],
      ['requests on their way at enforced', this.#sum('inFlight')],
      ['runs with a stale allow', stale.length],
      ['enforced and lost', this.#sum('lost')],
      ['runs in which anything did not hold', this.failed.length],
      ['worst time to enforced, undisturbed', `${worstMs.toFixed(0)} ms, bound ${boundMs(LEASE_MS)} ms`],
      ['worst time to heal by itself', `${healedMs.toFixed(0)} ms`],
      ['runs that asked for an operator', this.#outcomes.filter(({ isAmnesiac }) => isAmnesiac).length],
    ];
    return [
      ...rows.map(([name, value]) => `${name.padEnd(40)} ${value}`),
      'faults, by effects seen:',
      ...faultNames().map((name) => `  ${name.padEnd(42)} ${this.#seen(name)}`),
    ];
  }

  #sum(key: string): number {
    return this.#sums.get(key) ?? 0;
  }

  #seen(name: string): number {
    return this.#effects.get(name) ?? 0;
  }
}

/** And what happens by itself in many of the runs: small pages, growth, leases of different lengths, locks and grants. */
function faultNames(): string[] {
  const byThemselves = [
    'page boundary',
    'the store is trimmed',
    'a ledger begins at a snapshot',
    'a restart with another lease',
    'a wait for a longer lease than the coordinator has',
    ...['locked', 'lifted', 'granted', 'taken away', 'a thief says again what was said'],
  ];
  return [...byThemselves, ...new Set(FAULTS.flatMap(({ effects }) => effects))];
}
