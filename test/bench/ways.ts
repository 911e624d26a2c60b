/** What way-monitor.ts notes in a replica, and how it is read: when an entry came where, on the host's monotonic clock. */
import { eventually } from '../support/scene.ts';
import type { WritProcess } from '../support/writ-process.ts';

/**
 * `append` sent and `appended` replied; `brought` by a renewal, `applied` in the index, `durable` with its sessions told;
 * `renew` sent, of the position that it names, and `renewed`; `look` at the lease table and `looked`; receipt begun and `proven`;
 * `read` by a thread that does nothing else (reader-thread.ts).
 */
export type Step =
  | 'append'
  | 'appended'
  | 'brought'
  | 'applied'
  | 'durable'
  | 'renew'
  | 'renewed'
  | 'look'
  | 'looked'
  | 'prove'
  | 'proven'
  | 'read';

export interface Stamp {
  readonly step: Step;
  /** Of the entry; of a renewal its position; of a look ''. */
  readonly id: string;
  /** hostMs */
  readonly ms: number;
}

export const NOTED = ['--import', new URL('way-monitor.ts', import.meta.url).href];
export const READING = ['--import', new URL('reader-thread.ts', import.meta.url).href];

/** When each of `ids` came to `step` in that process first. Throws when one did not. */
export async function timesOf(
  { log }: Pick<WritProcess, 'log'>,
  step: Step,
  ids: readonly string[],
): Promise<number[]> {
  const seen = (): Promise<Map<string, number>> => Promise.resolve(firstTimes(log, step));
  const times = await eventually(seen, (found) => ids.every((id) => found.has(id)));
  return ids.map((id) => {
    const ms = times.get(id);
    if (ms === undefined) throw new Error(`${id} did not come to "${step}"`);
    return ms;
  });
}

function firstTimes(log: readonly string[], step: Step): Map<string, number> {
  const times = new Map<string, number>();
  for (const one of stampsIn(log)) if (one.step === step && !times.has(one.id)) times.set(one.id, one.ms);
  return times;
}

/** When that process came to `step`, of whatever entry, last before each of `times`. */
export function lastBefore(
  { log }: Pick<WritProcess, 'log'>,
  step: Step,
  times: readonly number[],
): readonly number[] {
  const all = stampsIn(log).filter((one) => one.step === step);
  return times.map((time) => all.findLast(({ ms }) => ms <= time)?.ms ?? Number.NaN);
}

const MARK = '{"message":"ways"';

function stampsIn(log: readonly string[]): readonly Stamp[] {
  return log
    .filter((line) => line.startsWith(MARK))
    .flatMap((line) => (JSON.parse(line) as { stamps: readonly Stamp[] }).stamps);
}
