/** What a metric is: a row of metric-list.ts. Its labels are closed lists; never a subject, a token, a session or a path. */
import type { Histogram } from '../../kernel/histogram.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Point<Value> {
  readonly labels: Labels;
  readonly value: Value;
}

interface Described<Type extends string, Value> {
  readonly name: string;
  readonly type: Type;
  readonly help: string;
  readonly labels: readonly string[];
  /** Its points at this moment. */
  readonly read: () => readonly Point<Value>[];
}

export type Metric =
  Described<'counter', number> | Described<'gauge', number> | Described<'histogram', Histogram>;

/** A gauge without labels. */
export function gauge(name: string, help: string, read: () => number): Metric {
  return { name, type: 'gauge', help, labels: [], read: () => [{ labels: {}, value: read() }] };
}

/** A counter without labels. */
export function counter(name: string, help: string, read: () => number): Metric {
  return { name, type: 'counter', help, labels: [], read: () => [{ labels: {}, value: read() }] };
}

/** A histogram without labels. */
export function histogram(name: string, help: string, read: () => Histogram): Metric {
  return { name, type: 'histogram', help, labels: [], read: () => [{ labels: {}, value: read() }] };
}

/** What is not a number but words: 1, with the words as labels. */
export function info(name: string, help: string, labels: readonly string[], read: () => Labels): Metric {
  return { name, type: 'gauge', help, labels, read: () => [{ labels: read(), value: 1 }] };
}
