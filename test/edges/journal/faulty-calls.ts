/** System calls that fail by order, and a journal that makes them. */
import { expect } from 'vitest';
import type { Syscalls } from '../../../src/edges/journal/syscalls.ts';
import type { JournalFeedStore } from '../../../src/edges/journal/journal-feed-store.ts';
import { SYSCALLS } from '../../../src/edges/journal/syscalls.ts';
import { ContractReplica } from '../../contract/contract-replica.ts';
import { beginEpoch, makeDataDir, openJournal } from './data-dir.ts';

export const BROKEN = { name: 'WritError', code: 'STORE_BROKEN' };
export const UNREACHABLE = { name: 'WritError', code: 'STORE_UNREACHABLE' };
export const UNCERTAIN = { name: 'WritError', code: 'APPEND_UNCERTAIN' };

export type Call = 'write' | 'sync';

/** What happens in place of a call; `pass` makes the real one. */
export type Instead = (pass: () => Promise<number>) => Promise<number>;

/** System calls that fail, or hang, when they are told to. */
export class FaultyCalls implements Syscalls {
  readonly written: Buffer[] = [];
  syncs = 0;
  readonly #instead: Record<Call, Instead[]> = { write: [], sync: [] };

  get writes(): number {
    return this.written.length;
  }

  /** Lets the next `call`, or the one after those that were set before, do `instead`. */
  next(call: Call, instead: Instead): void {
    this.#instead[call].push(instead);
  }

  fail(call: Call, code: string): void {
    this.next(call, () => Promise.reject(errorOf(code)));
  }

  async write(...args: Parameters<Syscalls['write']>): Promise<number> {
    this.written.push(Buffer.from(args[1]));
    const pass = (): Promise<number> => SYSCALLS.write(...args);
    return (this.#instead.write.shift() ?? passOn)(pass);
  }

  async sync(...args: Parameters<Syscalls['sync']>): Promise<void> {
    this.syncs += 1;
    const pass = (): Promise<number> => SYSCALLS.sync(...args).then(() => 0);
    await (this.#instead.sync.shift() ?? passOn)(pass);
  }
}

export const passOn: Instead = (pass) => pass();

export function errorOf(code: string): Error {
  return Object.assign(new Error(code), { code });
}

export interface Started {
  readonly dataDir: string;
  readonly journal: JournalFeedStore;
  readonly calls: FaultyCalls;
  readonly a: ContractReplica;
}

/** A journal of one epoch whose only incarnation holds a lease. */
export async function start(callMs?: number): Promise<Started> {
  const dataDir = await makeDataDir('memory');
  const calls = new FaultyCalls();
  const { journal, facts } = await openJournal(dataDir, {
    syscalls: calls,
    ...(callMs === undefined ? {} : { callMs }),
  });
  await beginEpoch(journal, facts);
  const a = new ContractReplica(journal, 'inc_a');
  expect((await a.renew()).kind).toBe('lease');
  return { dataDir, journal, calls, a };
}

/** Resolves once `isSo`; what is waited for is a matter of a few turns of the loop. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
