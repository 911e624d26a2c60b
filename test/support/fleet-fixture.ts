/**
 * A small fleet as pure data, for tests of whatever reads evidence: keys, certificates, one epoch's feed, its tree,
 * acknowledgements, receipts and exports, all really signed. Nothing here is random: the same calls make the same bytes.
 */
import type { AcknowledgedOutcome, Acknowledgement } from '../../src/evidence/acknowledgement.ts';
import { signAcknowledgement } from '../../src/evidence/acknowledgement.ts';
import { checkpointOrigin, signCheckpoint } from '../../src/evidence/checkpoint.ts';
import { signCosignature } from '../../src/evidence/cosignature.ts';
import type { Keyring } from '../../src/evidence/keyring.ts';
import { keyringOf, logName } from '../../src/evidence/keyring.ts';
import { renderCheckpointLine } from '../../src/evidence/ledger-export.ts';
import { MerkleTree, leafHash } from '../../src/evidence/merkle.ts';
import type { ReceiptParts, Testimony } from '../../src/evidence/receipt.ts';
import { buildReceipt } from '../../src/evidence/receipt.ts';
import type { EpochEntry, FeedLine, RevocationEntry, UnsignedEntry } from '../../src/feed/entry.ts';
import {
  CHAIN_START,
  isLogSigned,
  leafText,
  nextChain,
  renderLine,
  sealEntry,
} from '../../src/feed/entry.ts';
import { renderPosition } from '../../src/feed/position.ts';
import { renderInstant } from '../../src/kernel/clock.ts';
import { sha256 } from '../../src/kernel/digest.ts';
import type { SigningKey } from '../../src/kernel/key.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';

/** When everything in a fixture begins. */
export const FIXTURE_START_MS = Date.parse('2026-10-01T08:00:00.000Z');

export interface FixtureReplica {
  readonly replica: string;
  readonly incarnation: string;
  readonly key: SigningKey;
  /** Text of its `joined` entry. */
  readonly certificate: string;
}

export interface FixtureOptions {
  readonly fleet?: string;
  readonly epoch?: number;
  readonly replicas?: readonly string[];
  readonly base?: EpochEntry['base'];
}

type Facts<T> = T extends unknown ? Omit<T, 'v' | 'at' | 'by'> : never;
export type EntryFacts = Facts<UnsignedEntry>;

export function seededKey(seed: string): SigningKey {
  return signingKeyOf(sha256(seed));
}

export class FleetFixture {
  readonly fleet: string;
  readonly epoch: number;
  readonly epochId: string;
  readonly logKey: SigningKey;
  readonly keyring: Keyring;
  readonly tree = new MerkleTree();
  readonly lines: FeedLine[] = [];
  readonly replicas: readonly FixtureReplica[];

  /** One epoch that was just opened, and `replicas` that joined it. */
  constructor(options: FixtureOptions = {}) {
    const { fleet = 'payments', epoch = 812, replicas = ['gw-eu-1', 'gw-us-1'], base } = options;
    this.fleet = fleet;
    this.epoch = epoch;
    this.epochId = `ep_${epoch}`;
    this.logKey = seededKey(`log of ${fleet}`);
    this.keyring = keyringOf(fleet, this.logKey.public);
    const opener = `inc_${replicas[0] ?? 'none'}`;
    const said = base === undefined ? {} : { base };
    this.append(
      {
        id: `ent_${epoch}`,
        kind: 'epoch',
        epochId: this.epochId,
        runId: 'run_1',
        rule: base === undefined ? 'bootstrap' : 'witness',
        ...said,
      },
      opener,
    );
    this.replicas = replicas.map((name) => this.join(name));
  }

  /** Lets one more replica join; it is not among `replicas`. */
  join(name: string, incarnation = `inc_${name}`): FixtureReplica {
    const key = seededKey(`replica ${name}`);
    const { sealed } = this.append(
      {
        id: `ent_${incarnation}_${this.lines.length}`,
        kind: 'replica',
        event: 'joined',
        replica: name,
        incarnation,
        key: key.public.x,
      },
      incarnation,
    );
    return { replica: name, incarnation, key, certificate: sealed.text };
  }

  replica(index: number): FixtureReplica {
    const found = this.replicas[index];
    if (found === undefined) throw new Error('the fixture has no such replica');
    return found;
  }

  /** Appends what `facts` say, signed as `by` (or by the log key, where only that may sign). */
  append(facts: EntryFacts, by: string, key = seededKey(`replica ${by.slice('inc_'.length)}`)): FeedLine {
    const at = renderInstant(FIXTURE_START_MS + this.lines.length);
    const entry = { ...facts, v: 1, at, by } as UnsignedEntry;
    const isLogs = isLogSigned(entry);
    const sealed = sealEntry(entry, isLogs ? this.logKey : key);
    const chain = nextChain(this.lines.at(-1)?.chain ?? CHAIN_START, sealed.text);
    const line = { position: { epoch: this.epoch, sequence: this.lines.length + 1 }, chain, sealed };
    this.lines.push(line);
    this.tree.append(leafHash(leafText(line)));
    return line;
  }

  /** Appends a revocation of one token id, by the first replica unless `facts` or `by` say otherwise. */
  revoke(
    facts: Partial<Facts<Omit<RevocationEntry, 'sig'>>> = {},
    by = this.replica(0).incarnation,
  ): FeedLine {
    const n = this.lines.length + 1;
    return this.append(
      {
        id: `rev_${n}`,
        kind: 'revocation',
        targets: [{ kind: 'jti', issuer: 'https://idp.example', value: `8f2c-${n}` }],
        caller: 'admin',
        body: 'b0d7',
        ...facts,
      },
      by,
    );
  }

  /** The signed note over the first `size` entries. */
  checkpoint(size = this.tree.size): string {
    const origin = checkpointOrigin(this.fleet, this.epoch);
    return signCheckpoint({ origin, size, root: this.tree.root(size) }, logName(this.fleet), this.logKey);
  }

  /** The note in which `who` cosigns the first `size` entries; `root` is another one for a forked ledger. */
  cosignature({ replica, key }: FixtureReplica, size = this.tree.size, root = this.tree.root(size)): string {
    const origin = checkpointOrigin(this.fleet, this.epoch);
    return signCosignature({ origin, size, root }, { replica, key }, FIXTURE_START_MS / 1_000);
  }

  /** What `who` acknowledges after applying `line`. */
  acknowledgement(
    who: FixtureReplica,
    line: FeedLine,
    outcomes: AcknowledgedOutcome[] = [],
  ): Acknowledgement {
    return {
      v: 1,
      replica: who.replica,
      incarnation: who.incarnation,
      epochId: this.epochId,
      position: renderPosition(line.position),
      chain: line.chain,
      leaf: Buffer.from(leafHash(leafText(line))).toString('hex'),
      at: renderInstant(FIXTURE_START_MS + 1_005),
      cachesPurged: true,
      outcomes,
    };
  }

  /** A statement of `enforced` by acknowledgement; `acknowledged` are listed, the first one of the fleet signs. */
  statement(line: FeedLine, acknowledged: readonly Acknowledgement[]): Testimony {
    const revocation = line.sealed.entry.id;
    const outcomes = acknowledged.flatMap((one) =>
      one.outcomes.filter((outcome) => outcome.revocation === revocation),
    );
    const total = (field: 'matched' | 'killed' | 'unconfirmed' | 'lateAccepts'): number =>
      outcomes.reduce((sum, outcome) => sum + outcome[field], 0);
    const appendedAtMs = FIXTURE_START_MS + 1_000;
    const accepts = outcomes.flatMap(({ lastAcceptAt }) =>
      lastAcceptAt === undefined ? [] : [Date.parse(lastAcceptAt)],
    );
    return {
      v: 2,
      fleet: this.fleet,
      revocation,
      position: renderPosition(line.position),
      epochId: this.epochId,
      leaf: Buffer.from(leafHash(leafText(line))).toString('hex'),
      state: 'enforced',
      closure: 'CLOSED',
      rule: 'acknowledged',
      boundMs: 3_252,
      appendedAt: renderInstant(appendedAtMs),
      enforcedAt: renderInstant(appendedAtMs + 9),
      replicas: acknowledged.map(({ replica, incarnation, at }) => ({
        replica,
        incarnation,
        state: 'acknowledged' as const,
        at,
      })),
      sessions: { matched: total('matched'), killed: total('killed'), unconfirmed: total('unconfirmed') },
      revocationWindowMs: Math.max(0, ...accepts.map((atMs) => atMs - appendedAtMs)),
      lateAccepts: total('lateAccepts'),
      seen: accepts.length > 0,
      weakened: [],
      notCovered: ['systems that accept the credential without asking Writ'],
    };
  }

  /** Everything for a receipt of `line`: every replica acknowledged it, and the first one killed two sessions. */
  receiptParts(line: FeedLine): ReceiptParts {
    const acknowledged = this.replicas.map((who, i) =>
      this.acknowledgement(who, line, i === 0 ? [killedTwo(line.sealed.entry.id)] : []),
    );
    return this.partsOf(line, this.statement(line, acknowledged), acknowledged);
  }

  /** Parts from a statement and the acknowledgements that go with it, each signed by its replica. */
  partsOf(line: FeedLine, statement: Testimony, acknowledged: readonly Acknowledgement[]): ReceiptParts {
    const signer = { ...this.replica(0), key: this.logKey };
    const size = this.tree.size;
    const index = line.position.sequence - 1;
    const signers = new Set([
      line.sealed.entry.by,
      signer.incarnation,
      ...acknowledged.map((one) => one.incarnation),
    ]);
    const speakers = this.replicas.filter(({ incarnation }) => signers.has(incarnation));
    return {
      proof: { index, hashes: this.tree.inclusionProof(index, size) },
      checkpoint: this.checkpoint(),
      entry: leafText(line),
      statement,
      signer,
      acknowledgements: acknowledged.map((one) => this.signed(one)),
      certificates: speakers.map(({ certificate }) => certificate),
    };
  }

  /** The text of an acknowledgement, signed by the replica it names. */
  signed(said: Acknowledgement): string {
    return signAcknowledgement(said, seededKey(`replica ${said.incarnation.slice('inc_'.length)}`));
  }

  receipt(line: FeedLine): string {
    return buildReceipt(this.receiptParts(line));
  }

  /** An export of this epoch from sequence `from`, with its checkpoint line, as lines without newlines; `cosigned` are notes. */
  export(from = 1, cosigned: readonly string[] = []): string[] {
    const before = this.lines[from - 2];
    const frontier =
      before === undefined
        ? undefined
        : { size: from - 1, hashes: this.tree.frontier(from - 1), chain: before.chain };
    const lines = this.lines.slice(from - 1).map(renderLine);
    return [...lines, renderCheckpointLine(this.checkpoint(), frontier, cosigned)];
  }

  /** What the next epoch's first entry says of this one. */
  base(): NonNullable<EpochEntry['base']> {
    const last = this.lines.at(-1);
    if (last === undefined) throw new Error('the fixture has no entries');
    const { epochId } = this;
    return {
      epochId,
      head: renderPosition(last.position),
      chain: last.chain,
      checkpoint: this.checkpoint(),
    };
  }
}

/** What a replica says that held two sessions of the credential, accepted it last 4 ms after the append, and killed both. */
export function killedTwo(revocation: string): AcknowledgedOutcome {
  return {
    revocation,
    matched: 2,
    killed: 2,
    pending: 0,
    unconfirmed: 0,
    lateAccepts: 0,
    lastAcceptAt: renderInstant(FIXTURE_START_MS + 1_004),
  };
}
