/** What a store brings along to be tested, and the first steps that most tests begin with. */
import type { FeedStore, OpenEpochRequest, StoreFacts } from '../../src/feed/feed-store.ts';
import { epoch, replica } from '../support/feed-entries.ts';
import { ContractReplica } from './contract-replica.ts';

export interface Harness {
  readonly facts: StoreFacts;
  readonly store: FeedStore;
  /** True when a restart of the store leaves its epoch open. */
  readonly keepsEpoch: boolean;
  /** False when the store declines snapshots, because it never trims. */
  readonly keepsSnapshots: boolean;
  /** Another handle on the same feed, opened; the same one where only one can be. */
  connect(): Promise<FeedStore>;
  /** The store ends and begins again, with its disk; handles from before are no longer used. */
  restart(): Promise<{ readonly store: FeedStore; readonly facts: StoreFacts }>;
  /** FLUSHALL, where a store can be emptied under its handles. */
  forget?(): Promise<void>;
  close(): Promise<void>;
}

/** The store of the test that is running. */
export class StoreUnderTest {
  readonly #harness: () => Harness;

  constructor(harness: () => Harness) {
    this.#harness = harness;
  }

  get harness(): Harness {
    return this.#harness();
  }

  get store(): FeedStore {
    return this.harness.store;
  }

  get runId(): string {
    return this.harness.facts.runId;
  }

  /** What the open epoch is bound to, or where none is open, the next one. */
  async runNow(): Promise<string> {
    return (await this.store.roster()).runId;
  }

  /** For the next epoch, as the store is now. */
  async opening(epochId: string, over: Partial<OpenEpochRequest> = {}): Promise<OpenEpochRequest> {
    const runId = over.runId ?? (await this.store.roster()).nextRunId;
    return { closedEpochId: undefined, runId, epochS: 100, sealed: epoch(epochId, runId), ...over };
  }

  /** Opens `ep_1` and joins the incarnations. */
  async begin(...incarnations: string[]): Promise<ContractReplica[]> {
    await this.store.openEpoch(await this.opening('ep_1'));
    for (const incarnation of incarnations) await this.store.append('ep_1', replica('joined', incarnation));
    return incarnations.map((incarnation) => new ContractReplica(this.store, incarnation));
  }
}
