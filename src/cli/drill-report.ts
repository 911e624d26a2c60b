/** What a drill has shown, what it has refuted, and what it has not shown. Nothing is CLOSED that was not. */
import type { JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';
import type { Canary } from './canary.ts';
import type { Probe } from './drill-probe.ts';
import { ACCEPTED, REFUSED } from './drill-probe.ts';
import type { ExitCode } from './exit.ts';
import { EXIT } from './exit.ts';
import { cell, table } from './terminal.ts';

/** What a stranger could check of it, or why it does not hold; undefined where there is none. */
export type Receipt = { readonly facts: JsonObject } | { readonly refuted: string } | undefined;

type Closure = 'CLOSED' | 'PARTIAL' | 'UNKNOWN' | 'REFUTED';

export const EXIT_OF: Readonly<Record<Closure, ExitCode>> = {
  CLOSED: EXIT.done,
  PARTIAL: EXIT.partial,
  UNKNOWN: EXIT.unknown,
  REFUTED: EXIT.refuted,
};

export interface Drilled {
  readonly canary: Canary;
  /** The answer to the revocation. */
  readonly said: JsonObject;
  readonly answeredMs: number;
  readonly probes: readonly Probe[];
  readonly receipt: Receipt;
}

export type Report = ReturnType<typeof reportOf>;

export function reportOf({ canary, said, answeredMs, probes, receipt }: Drilled) {
  const { id, state, boundMs, appendedAt, enforcedAt, lateAccepts } = said;
  const sinceAppend = (at: unknown): number | undefined =>
    typeof at === 'string' ? Date.parse(at) - Date.parse(cell(appendedAt)) : undefined;
  const listed = Array.isArray(said['replicas']) ? said['replicas'].filter(isJsonObject) : [];
  const refuted = refutations(said, probes, receipt);
  const notShown = gaps(canary, said, probes);
  return {
    closure: closureOf(state, refuted, notShown),
    canary: canary.from,
    id,
    state,
    enforcedMs: sinceAppend(enforcedAt),
    boundMs,
    answeredMs,
    lateAccepts,
    replicas: listed.map(({ replica, incarnation, state: its, at, notLaterThan }) => ({
      ...{ replica, incarnation, state: its },
      afterMs: sinceAppend(at ?? notLaterThan),
    })),
    probes,
    receipt: receipt === undefined || 'refuted' in receipt ? undefined : receipt.facts,
    refuted,
    notShown,
  };
}

function refutations(
  { lateAccepts, state }: JsonObject,
  probes: readonly Probe[],
  receipt: Receipt,
): string[] {
  const isSaid = state === 'enforced';
  return [
    ...(lateAccepts === 0 ? [] : [`${cell(lateAccepts)} accepts by a replica that had applied it`]),
    ...(isSaid ? probes.filter(({ after }) => after === ACCEPTED) : []).map(
      ({ url }) => `${url} accepts it after enforced was said`,
    ),
    ...(receipt !== undefined && 'refuted' in receipt ? [`the receipt: ${receipt.refuted}`] : []),
    ...(isSaid && receipt === undefined ? ['enforced was said without a receipt'] : []),
  ];
}

/** In words, what a green answer would still lack. */
function gaps({ target }: Canary, { state }: JsonObject, probes: readonly Probe[]): string[] {
  return [
    ...(state === 'enforced' ? [] : [`that no replica accepts it: it is ${cell(state)}`]),
    ...(target === undefined
      ? ['that a credential was accepted before and is refused now: none was given (--token -)']
      : []),
    ...probes.flatMap(({ url, before, after, control }) => [
      ...(before === ACCEPTED ? [] : [`${url}: that it was accepted before (${before})`]),
      ...(after === REFUSED ? [] : [`${url}: that it is refused as revoked (${after})`]),
      ...(control === ACCEPTED ? [] : [`${url}: that a sibling passes (${control})`]),
    ]),
  ];
}

function closureOf(state: unknown, refuted: readonly string[], notShown: readonly string[]): Closure {
  if (refuted.length > 0) return 'REFUTED';
  if (state !== 'enforced' && state !== 'partial') return 'UNKNOWN';
  return notShown.length > 0 ? 'PARTIAL' : 'CLOSED';
}

/** For people. */
export function renderReport(report: Report): string {
  const { closure, state, enforcedMs, boundMs, answeredMs, probes } = report;
  const took = enforcedMs === undefined ? '' : ` ${enforcedMs} ms after the append`;
  return [
    `${closure}: ${cell(state)}${took}, answered after ${answeredMs} ms; the bound is ${cell(boundMs)} ms`,
    `canary: ${report.canary}, ${cell(report.id)}`,
    table(
      ['replica', 'state', 'after ms', 'incarnation'],
      report.replicas.map(({ replica, state: its, afterMs, incarnation }) => [
        replica,
        its,
        afterMs,
        incarnation,
      ]),
    ),
    ...(probes.length === 0
      ? []
      : [
          table(
            ['probe', 'before', 'after', 'sibling', 'last accepted ms', 'refused ms'],
            probes.map((one) => [
              ...[one.url, one.before, one.after, one.control],
              ...[one.lastAcceptedMs, one.refusedMs],
            ]),
          ),
        ]),
    ...(report.receipt === undefined ? [] : [`receipt verified: rule ${cell(report.receipt['rule'])}`]),
    ...report.refuted.map((what) => `REFUTED: ${cell(what)}`),
    ...report.notShown.map((what) => `not shown: ${cell(what)}`),
  ].join('\n');
}
