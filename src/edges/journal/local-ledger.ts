/**
 * The ledger of a replica beside a shared store: the same lines as a journal, kept as they come from the feed and fsynced
 * before a lease is adopted. It grants nothing and orders nothing; what it keeps was checked by who applies it.
 */
import type { CrashPoint } from '../../feed/crash-point.ts';
import type { FeedLine } from '../../feed/entry.ts';
import type { StoreFacts } from '../../feed/feed-store.ts';
import type { Ledger } from '../../feed/ledger.ts';
import type { Position } from '../../feed/position.ts';
import type { DurableLog } from './durable-log.ts';
import { openLog } from './open-log.ts';
import { SYSCALLS } from './syscalls.ts';

export interface OpenedLedger {
  readonly ledger: LocalLedger;
  readonly cutTail: StoreFacts['cutTail'];
}

export class LocalLedger implements Ledger {
  readonly #log: DurableLog;

  private constructor(log: DurableLog) {
    this.#log = log;
  }

  /** DATA_DIR_LOCKED, JOURNAL_CORRUPT, or STORE_UNREACHABLE when the directory cannot be used. */
  static async open(dataDir: string, crashPoint: CrashPoint): Promise<OpenedLedger> {
    const nobody = (): void => undefined;
    const options = { dataDir, syscalls: SYSCALLS, crashPoint, onScanned: nobody, onVisible: nobody };
    const { log, cutTail } = await openLog(options);
    return { ledger: new LocalLedger(log), cutTail };
  }

  /** Durable when it resolves; as DurableLog.commit otherwise. */
  async keep(lines: readonly FeedLine[]): Promise<void> {
    if (lines.length === 0) return;
    await this.#log.recover();
    await this.#log.commit(lines);
  }

  async read(after: Position, limit: number): Promise<readonly FeedLine[]> {
    const first = this.#log.history.lineAfter(after);
    return first < this.#log.history.lines ? (await this.#log.read(first, limit)).lines : [];
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}
