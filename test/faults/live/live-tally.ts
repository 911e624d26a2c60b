/** The sums over live rounds, and whether they count. */
import type { LifeOutcome } from './life.ts';
import { BOUND_MS } from './life.ts';
import type { LiveFault } from './live-faults.ts';

const SUMMED = [
  ['decisions', 'decisions checked'],
  ['revocations', 'revocations'],
  ['enforced', 'enforced'],
  ['counted', 'of them after 5 allows by 2 replicas'],
  ['inFlight', 'requests on their way at enforced'],
  ['stable', 'revocations in force everywhere at the end'],
  ['lost', 'enforced or durable, and lost'],
  ['neverRead', 'never read at the end'],
  ['receipts', 'receipts verified and joined'],
  ['lines', 'lines of ledgers compared'],
  ['restarts', 'restarts of Redis by an operator'],
] as const;

export class LiveTally {
  readonly #lives: LifeOutcome[] = [];
  /** Lives in which something did not hold. */
  readonly failed: LifeOutcome[] = [];

  add(outcome: LifeOutcome): void {
    this.#lives.push(outcome);
    if (outcome.violations.length > 0) this.failed.push(outcome);
  }

  get #rounds() {
    return this.#lives.flatMap(({ rounds }) => rounds);
  }

  /** Those that were begun, and never had an effect that was seen. */
  get unseen(): LiveFault[] {
    return [...this.#effects()].filter(([, { seen }]) => seen === 0).map(([fault]) => fault);
  }

  /** Why these runs show nothing; none when they count. */
  get vacuities(): string[] {
    const counted = this.#rounds.filter(({ vacuities }) => vacuities.length === 0).length;
    return [
      ...this.unseen.map((fault) => `no effect was seen of: ${nameOf(fault)}`),
      ...(2 * counted < this.#rounds.length || counted === 0
        ? [`${counted} of ${this.#rounds.length} rounds count`]
        : []),
    ];
  }

  render(): string[] {
    const lives = this.#lives;
    const sum = (key: (typeof SUMMED)[number][0] | 'tookMs'): number =>
      lives.reduce((total, one) => total + one[key], 0);
    const most = (values: readonly number[]): number => Math.max(0, ...values);
    const windows = lives.flatMap(({ windowsMs }) => windowsMs).sort((a, b) => a - b);
    const quantile = (q: number): string => (windows[Math.floor(q * (windows.length - 1))] ?? 0).toFixed(0);
    const counted = this.#rounds.filter(({ vacuities }) => vacuities.length === 0).length;
    const stale = this.failed.filter(({ violations }) => violations.some((text) => text.startsWith('STALE')));
    const rows: [string, string | number][] = [
      ['lives', lives.length],
      ['rounds, counted', `${this.#rounds.length}, ${counted}`],
      ['minutes', (sum('tookMs') / 60_000).toFixed(1)],
      ...SUMMED.map(([key, name]): [string, number] => [name, sum(key)]),
      ['lives with a stale allow', stale.length],
      ['lives in which anything did not hold', this.failed.length],
      [
        'worst time to enforced, undisturbed',
        `${most(lives.map(({ worstMs }) => worstMs)).toFixed(0)} ms, bound ${BOUND_MS} ms`,
      ],
      [
        'from an order to the last allow',
        `median ${quantile(0.5)} ms, 99 % ${quantile(0.99)} ms, worst ${quantile(1)} ms`,
      ],
      ['worst time to heal', `${most(this.#rounds.map(({ healedMs }) => healedMs)).toFixed(0)} ms`],
      ['lives that asked for an operator', lives.filter(({ isAmnesiac }) => isAmnesiac).length],
    ];
    return [
      ...rows.map(([name, value]) => `${name.padEnd(44)} ${value}`),
      'faults, begun and with an effect seen:',
      ...[...this.#effects()]
        .sort(([a], [b]) => Number(a.row.slice(1)) - Number(b.row.slice(1)))
        .map(([fault, { begun, seen }]) => `  ${nameOf(fault).padEnd(58)} ${begun} ${seen}`),
    ];
  }

  #effects(): Map<LiveFault, { begun: number; seen: number }> {
    const effects = new Map<LiveFault, { begun: number; seen: number }>();
    for (const { fault, isSeen } of this.#rounds.flatMap(({ faults }) => faults)) {
      const before = effects.get(fault) ?? { begun: 0, seen: 0 };
      effects.set(fault, { begun: before.begun + 1, seen: before.seen + (isSeen ? 1 : 0) });
    }
    return effects;
  }
}

function nameOf({ row, name }: LiveFault): string {
  return `${row.padEnd(3)} ${name}`;
}
