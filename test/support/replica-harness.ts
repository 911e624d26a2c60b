/**
 * Flows wired as compose.ts does, over the memory store and a clock moved by hand: several replicas on one store are
 * several of these. The verifier and the policy are the smallest things that keep their ports' promises.
 */
import type {
  Credential,
  CredentialVerifier,
  Verification,
  VerifiedCredential,
} from '../../src/credential/credential.ts';
import type { Handle } from '../../src/credential/handle.ts';
import { Fingerprinter } from '../../src/credential/handle.ts';
import { GrantTable } from '../../src/decision/grants.ts';
import type { Decision } from '../../src/decision/decision.ts';
import type { ReviewOccasion } from '../../src/decision/observer.ts';
import type { PolicyEngine, PolicyRevision } from '../../src/decision/policy-engine.ts';
import type { AccessRequest } from '../../src/decision/request.ts';
import type { Place } from '../../src/feed/cursor.ts';
import { Cursor } from '../../src/feed/cursor.ts';
import type { FeedLine } from '../../src/feed/entry.ts';
import { EPS_MS, Lease } from '../../src/feed/lease.ts';
import type { Snapshot } from '../../src/feed/feed-store.ts';
import type { SnapshotBase } from '../../src/feed/snapshot.ts';
import { parseHeader } from '../../src/feed/snapshot.ts';
import type { Ledger } from '../../src/feed/ledger.ts';
import { Members } from '../../src/feed/members.ts';
import type { Position } from '../../src/feed/position.ts';
import { comparePositions } from '../../src/feed/position.ts';
import { Appender } from '../../src/flows/append.ts';
import { LeaseTable } from '../../src/flows/barrier.ts';
import { Carrier } from '../../src/flows/carry.ts';
import { Checker } from '../../src/flows/check.ts';
import { Cosigner } from '../../src/flows/cosign.ts';
import { Effects } from '../../src/flows/effects.ts';
import type { ReceiptStore } from '../../src/flows/enforce.ts';
import { Expirer } from '../../src/flows/expire.ts';
import { Fold } from '../../src/flows/fold.ts';
import { Follower } from '../../src/flows/follow.ts';
import type { Identity } from '../../src/flows/identity.ts';
import { Forgetter } from '../../src/flows/forget.ts';
import { Granter } from '../../src/flows/grant.ts';
import { Joiner } from '../../src/flows/join.ts';
import { SessionKeeper } from '../../src/flows/keep-session.ts';
import { Lifter } from '../../src/flows/lift.ts';
import type { LastJoined } from '../../src/flows/lineage.ts';
import { Lineage } from '../../src/flows/lineage.ts';
import { Loader } from '../../src/flows/load.ts';
import { Mender } from '../../src/flows/mend.ts';
import { News } from '../../src/flows/news.ts';
import { Reevaluator } from '../../src/flows/reevaluate.ts';
import { Publisher } from '../../src/flows/publish.ts';
import { Renewer } from '../../src/flows/renew.ts';
import { Replica } from '../../src/flows/replica.ts';
import { Retracer } from '../../src/flows/retrace.ts';
import { Reviewer } from '../../src/flows/review.ts';
import { Reopener } from '../../src/flows/reopen.ts';
import type { RevocationOrder } from '../../src/flows/revoke.ts';
import { Revoker } from '../../src/flows/revoke.ts';
import { Snapshotter } from '../../src/flows/snapshot.ts';
import { Surveyor } from '../../src/flows/survey.ts';
import { Tree } from '../../src/flows/tree.ts';
import type { HeldEpoch } from '../../src/flows/vouch.ts';
import { Vouching } from '../../src/flows/vouch.ts';
import { sha256 } from '../../src/kernel/digest.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { SigningKey } from '../../src/kernel/key.ts';
import { signingKeyOf } from '../../src/kernel/key.ts';
import type { LogFields } from '../../src/kernel/log.ts';
import type { Random } from '../../src/kernel/random.ts';
import { NO_TRACER } from '../../src/kernel/trace.ts';
import { LastAccepts } from '../../src/revocation/last-accepts.ts';
import { RevocationView } from '../../src/revocation/view.ts';
import { SessionRegistry } from '../../src/session/registry.ts';
import type { SessionRecord, SessionStore } from '../../src/session/session.ts';
import type { FakeClock } from './fake-time.ts';
import { MemoryFeedServer, MemoryFeedStore } from './memory-feed-store.ts';

export const LEASE_MS = 3_000;
export const ISSUER = 'https://idp.example';
const LOG_KEY = signingKeyOf(new Uint8Array(32).fill(7));
const FINGERPRINT_KEY = new Uint8Array(32).fill(9);

/** Deterministic bytes, different at each call. */
function countingRandom(seed: string): Random {
  let count = 0;
  return { bytes: (size) => sha256(`${seed} ${count++}`).subarray(0, size) };
}

class MemoryHeldEpoch implements HeldEpoch {
  epochId: string | undefined;
  isLeft = false;
  /** Set by a test of a disk that never held anything: one that is empty may be a lost one. */
  isNew = false;

  async keep(epochId: string, isLeft: boolean): Promise<void> {
    Object.assign(this, { epochId, isLeft, isNew: false });
  }
}

class MemoryWord implements LastJoined {
  word: string | undefined;

  async keep(word: string): Promise<void> {
    this.word = word;
  }
}

/** What this replica has on its own disk; `fails` makes it unwritable. */
export class MemoryLedger implements Ledger {
  readonly held = new MemoryHeldEpoch();
  readonly lastJoined = new MemoryWord();
  readonly lines: FeedLine[];
  /** What was cut. */
  readonly beside: FeedLine[] = [];
  #snapshot: Snapshot | undefined;
  fails = false;
  /** Called before a line counts as durable. */
  onKeep: () => Promise<void> | void = () => undefined;

  readonly #forged = new Set<string>();

  /** `lines`: the array that it keeps them in. */
  constructor(lines: FeedLine[] = []) {
    this.lines = lines;
  }

  /** The data directory as it is now, of its lines the first `count`. */
  copy(count = this.lines.length): MemoryLedger {
    const other = new MemoryLedger(this.lines.slice(0, count));
    Object.assign(other.held, this.held);
    other.lastJoined.word = this.lastJoined.word;
    other.beside.push(...this.beside);
    other.#snapshot = this.#snapshot;
    for (const chain of this.#forged) other.#forged.add(chain);
    return other;
  }

  isForged({ chain }: FeedLine): boolean {
    return this.#forged.has(chain);
  }

  async keep(lines: readonly FeedLine[], forged: readonly FeedLine[] = []): Promise<void> {
    await this.onKeep();
    if (this.fails) throw new Error('disk');
    for (const { chain } of forged) this.#forged.add(chain);
    this.lines.push(...lines);
  }

  get base(): SnapshotBase | undefined {
    return this.#snapshot === undefined ? undefined : parseHeader(this.#snapshot.chunks[0]).base;
  }

  async snapshot(): Promise<Snapshot | undefined> {
    return this.#snapshot;
  }

  async begin(snapshot: Snapshot): Promise<void> {
    await this.onKeep();
    this.#snapshot = snapshot;
    this.lines.length = 0;
  }

  async cut(after: Place): Promise<void> {
    await this.onKeep();
    this.cutNow(after);
  }

  cutNow({ position }: Pick<Place, 'position'>): void {
    const kept = this.lines.findLastIndex((line) => comparePositions(line.position, position) <= 0);
    this.beside.push(...this.lines.splice(kept + 1));
  }

  async read(after: Position, limit: number): Promise<readonly FeedLine[]> {
    return this.lines.filter(({ position }) => comparePositions(position, after) > 0).slice(0, limit);
  }
}

export class MemoryReceipts implements ReceiptStore {
  readonly texts = new Map<string, string>();

  async write(id: string, text: string): Promise<void> {
    this.texts.set(id, text);
  }

  async read(id: string): Promise<string | undefined> {
    return this.texts.get(id);
  }
}

/** `sub|jti|iat|scope|issuer`, `iat` in epoch seconds, the last two may be left out: the token is its own claims. `bad…` does not verify; `slow…` takes a turn. */
export class PlainVerifier implements CredentialVerifier {
  readonly #fingerprinter: Fingerprinter;
  /** As the real one: a token that comes again is the same credential. */
  readonly #known = new Map<string, VerifiedCredential>();
  /** Resolves what `slow` tokens wait for. */
  readonly slow = Promise.withResolvers<void>();

  constructor(fingerprinter: Fingerprinter) {
    this.#fingerprinter = fingerprinter;
  }

  verify(credential: Credential): Verification | Promise<Verification> {
    const { token } = credential;
    if (token.startsWith('bad')) return { ok: false, reason: 'invalid_credential', detail: 'signature' };
    if (token.startsWith('nokeys'))
      return { ok: false, reason: 'invalid_credential', detail: 'keys_unavailable' };
    if (token.startsWith('busy')) return { ok: false, reason: 'overloaded', detail: 'overloaded' };
    const known = this.#known.get(token) ?? this.#verified(token.replace(/^slow/, ''));
    this.#known.set(token, known);
    const settled: Verification = { ok: true, credential: known };
    return token.startsWith('slow') ? this.slow.promise.then(() => settled) : settled;
  }

  reverify(verification: Verification): Verification {
    return verification;
  }

  handleOfToken(): undefined {
    return undefined;
  }

  #verified(token: string): VerifiedCredential {
    const [subject = '', jti = '', iat = '', scope = '', issuer = ISSUER] = token.split('|');
    const handles: Handle[] = [
      { kind: 'jti', parts: [ISSUER, jti] },
      { kind: 'sub', parts: [ISSUER, subject] },
      { kind: 'all', parts: [] },
    ];
    return {
      kind: 'jwt',
      scheme: 'Bearer',
      issuer,
      subject,
      claims: { sub: subject, ...(scope === '' ? {} : { scope }) },
      actors: [{ issuer: ISSUER, subject: 'agent' }],
      confirmation: undefined,
      issuedAtS: iat === '' ? undefined : Number(iat),
      notBeforeS: undefined,
      expiresAtS: Number(iat) + 3600,
      handles: this.#fingerprinter.print(handles),
    };
  }
}

/** Allows `read`, and `granted` by any grant, and denies the rest, unless `rule` says otherwise; `undefined` and `error` by name. `control` is the value of `writ/control/allow`. */
export class PlainPolicy implements PolicyEngine {
  revision: PolicyRevision = {
    digest: 'sha256:test',
    entrypoints: ['writ/authz/decision'],
    isPure: true,
    readsNow: false,
  };
  evaluations = 0;
  control: unknown;
  /** `input` as policy gets it -> whether it allows. */
  rule: (input: JsonObject) => boolean = ({ action, grants }) => {
    const { name } = action as { name: string };
    return name === 'read' || (name === 'granted' && (grants as unknown[]).length > 0);
  };

  hasEntrypoint(name: string): boolean {
    return name === 'writ/control/allow' && this.control !== undefined;
  }

  decide(input: JsonObject): ReturnType<PolicyEngine['decide']> {
    this.evaluations += 1;
    const { name } = input.action as { name: string };
    if (name === 'undefined') return { kind: 'undefined' };
    if (name === 'trap') return { kind: 'error', detail: 'policy trapped' };
    return { kind: 'answer', allow: this.rule(input), reason: 'plain' };
  }

  evaluate(entrypoint: string, input: object): ReturnType<PolicyEngine['evaluate']> {
    if (entrypoint === 'writ/control/allow') return { kind: 'value', value: this.control };
    return entrypoint === 'echo' ? { kind: 'value', value: input } : { kind: 'undefined' };
  }
}

export interface LogLine extends LogFields {
  readonly level: string;
  readonly sentence: string;
}

export interface TestReplicaOptions {
  readonly clock: FakeClock;
  readonly server?: MemoryFeedServer;
  readonly store?: MemoryFeedStore;
  readonly name?: string;
  readonly seed?: number;
  /** Another for two processes that go by one incarnation. */
  readonly salt?: string;
  readonly ledger?: MemoryLedger;
  readonly receipts?: MemoryReceipts;
  readonly bootstrap?: boolean;
  readonly barrier?: 'acknowledged' | 'wait';
  readonly exclusive?: boolean;
  readonly durability?: 'accepted' | 'durable';
  /** 0: the loop turns after each piece of work. */
  readonly sliceMs?: number;
  readonly hasMemo?: boolean;
  /** Entries from mark to mark; none: no snapshots. */
  readonly snapshotEvery?: number;
  readonly linesBytesMin?: number;
  readonly rosterForgetMs?: number;
  /** Of another fleet key than everyone else's. */
  readonly logKey?: SigningKey;
  readonly lastAcceptsMax?: number;
  readonly leaseMs?: number;
  readonly credentialLifeMaxMs?: number;
}

export class TestReplica {
  readonly clock: FakeClock;
  readonly server: MemoryFeedServer;
  readonly store: MemoryFeedStore;
  readonly ledger: MemoryLedger;
  readonly receipts: MemoryReceipts;
  readonly identity: Identity;
  readonly log: LogLine[] = [];
  readonly cursor = new Cursor();
  readonly members = new Members();
  readonly lease: Lease;
  readonly news = new News();
  readonly owing = new News();
  readonly fingerprinter = new Fingerprinter(FINGERPRINT_KEY);
  readonly view = new RevocationView(this.fingerprinter);
  readonly grants = new GrantTable();
  /** Subjects whose grants changed, as the listener was told. */
  readonly changedSubjects: string[] = [];
  readonly lastAccepts: LastAccepts;
  readonly records: SessionRecord[] = [];
  /** By order, how many of its sessions are proven to have ended. */
  readonly proven = new Map<string, number>();
  readonly lostClaims: string[] = [];
  readonly sessionDisk = { isFull: false, sync: (): Promise<void> => Promise.resolve() };
  readonly sessions: SessionRegistry;
  readonly effects: Effects;
  readonly table: LeaseTable;
  readonly verifier = new PlainVerifier(this.fingerprinter);
  readonly policy = new PlainPolicy();
  readonly closing = new AbortController();
  readonly crashes: string[] = [];
  readonly tree: Tree;
  readonly appender: Appender;
  readonly follower: Follower;
  readonly joiner: Joiner;
  readonly snapshots: Snapshotter;
  readonly carrier: Carrier;
  readonly loader: Loader;
  readonly reopener: Reopener;
  readonly vouching: Vouching;
  readonly cosigner: Cosigner;
  readonly renewer: Renewer;
  readonly checker: Checker;
  readonly reviewer: Reviewer;
  /** What the decision log would be told of sessions that were killed by a review. */
  readonly killed: { readonly decision: Decision; readonly occasion: ReviewOccasion }[] = [];
  readonly expirer: Expirer;
  readonly reevaluator: Reevaluator;
  readonly keeper: SessionKeeper;
  readonly revoker: Revoker;
  readonly lifter: Lifter;
  readonly granter: Granter;
  readonly replica: Replica;
  readonly surveyor: Surveyor;
  readonly forgetter: Forgetter;
  #reviewing: Promise<unknown> = Promise.resolve();

  constructor(options: TestReplicaOptions) {
    const {
      clock,
      name = 'a',
      seed = 1,
      bootstrap = true,
      barrier = 'acknowledged',
      exclusive = true,
      durability = 'durable',
      logKey = LOG_KEY,
      leaseMs = LEASE_MS,
      credentialLifeMaxMs = 86_400_000,
    } = options;
    const term = { leaseMs, epsMs: EPS_MS };
    this.lease = new Lease(term);
    this.table = new LeaseTable(term, this.members, () => this.cursor.position);
    this.lastAccepts = new LastAccepts(options.lastAcceptsMax);
    this.sessions = new SessionRegistry(this.#sessionStore(), leaseMs);
    this.effects = new Effects(this.lastAccepts, this.sessions);
    this.clock = clock;
    this.server = options.server ?? new MemoryFeedServer();
    this.store = options.store ?? new MemoryFeedStore(this.server);
    this.ledger = options.ledger ?? new MemoryLedger();
    this.receipts = options.receipts ?? new MemoryReceipts();
    const random = countingRandom(`${name}${seed}${options.salt ?? ''}`);
    const key = signingKeyOf(new Uint8Array(32).fill(name.charCodeAt(0)));
    this.identity = { fleet: 'test', replica: name, incarnation: `inc_${name}${seed}`, key, logKey };
    const note =
      (level: string) =>
      (sentence: string, fields: LogFields = {}) =>
        void this.log.push({ level, sentence, ...fields });
    const log = { info: note('info'), warn: note('warn'), error: note('error') };
    const crashPoint = (point: string): void => void this.crashes.push(point);
    const {
      identity,
      store,
      cursor,
      lease,
      ledger,
      members,
      view,
      grants,
      effects,
      sessions,
      table,
      news,
      owing,
      policy,
    } = this;
    const feed = { identity, store, cursor, lease, clock };
    sessions.onChange(() => owing.notify());
    this.tree = new Tree(identity);
    const { tree } = this;
    this.appender = new Appender(feed);
    const { appender } = this;
    const fold = new Fold({ identity, members, view, grants, effects });
    this.snapshots = new Snapshotter({
      ...feed,
      ...{ members, table, tree, appender, fold, crashPoint, log, owing, news, timer: clock },
      every: options.snapshotEvery,
      linesBytesMin: options.linesBytesMin,
      ...(options.sliceMs === undefined ? {} : { sliceMs: options.sliceMs }),
    });
    const { snapshots } = this;
    this.follower = new Follower({
      ...feed,
      fold,
      snapshots,
      members,
      view,
      grants,
      grantListener: {
        subjectsChanged: (ids) => {
          this.changedSubjects.push(...ids);
          this.reevaluator.subjectsChanged(ids);
        },
      },
      tree,
      effects,
      sessions,
      ledger,
      timer: clock,
      ...(options.sliceMs === undefined ? {} : { sliceMs: options.sliceMs }),
      log,
      crashPoint,
    });
    const { follower } = this;
    const { held } = ledger;
    const isOnlyOne = options.server === undefined;
    this.vouching = new Vouching({ ...feed, members, ledger, held, exclusive: isOnlyOne });
    const { vouching } = this;
    this.carrier = new Carrier({ ...feed, ledger, members, view, grants, appender, log });
    const { carrier } = this;
    this.loader = new Loader({ ...feed, ledger, follower, fold, carrier, timer: clock, log });
    const { loader } = this;
    const lineage = new Lineage(identity, members, ledger.lastJoined);
    this.reopener = new Reopener({ ...feed, ledger, members, follower, loader, vouching, lineage, log });
    const { reopener } = this;
    const mender = new Mender({ ...feed, ledger, carrier, fold, loader, log });
    this.joiner = new Joiner({
      ...feed,
      ...{
        loader,
        ledger,
        members,
        follower,
        appender,
        tree,
        reopener,
        term,
        held,
        lineage,
        random,
        log,
        bootstrap,
      },
      credentialLifeMaxMs,
    });
    this.cosigner = new Cosigner({ identity, tree, table, cursor, clock, log });
    const { cosigner } = this;
    this.renewer = new Renewer({
      ...feed,
      cosigner,
      snapshots,
      loader,
      mender,
      follower,
      vouching,
      carrier,
      retracer: new Retracer({ ...feed, members, fold, ledger, tree, carrier, log }),
      members,
      leaseMs,
      credentialLifeMaxMs,
      table,
      tree,
      effects,
      sessions,
      view,
      grants,
      timer: clock,
      random,
      log,
      owing,
      news,
    });
    const { verifier, fingerprinter, lastAccepts, joiner, renewer } = this;
    this.checker = new Checker({
      verifier,
      fingerprinter,
      view,
      grants,
      cursor,
      lease,
      policy,
      lastAccepts,
      clock,
      clockSkewS: 5,
      hasMemo: options.hasMemo ?? true,
    });
    const { checker } = this;
    this.reviewer = new Reviewer({
      checker,
      sessions,
      grants: this.grants,
      cursor,
      clock,
      clockSkewS: 5,
      observer: { killed: (decision, occasion) => this.killed.push({ decision, occasion }) },
      ids: { next: () => `dec_${this.killed.length}` },
      log,
    });
    const { reviewer } = this;
    this.expirer = new Expirer({ ...feed, reviewer, sessions, timer: clock, log });
    this.reevaluator = new Reevaluator({ reviewer, sessions, clock, timer: clock, log });
    const { reevaluator } = this;
    this.keeper = new SessionKeeper({ checker, reviewer, reevaluator, sessions, clock, random });
    this.revoker = new Revoker({
      ...feed,
      members,
      table,
      cosigner,
      tree,
      appender,
      receipts: this.receipts,
      exclusive,
      durability,
      barrier,
      weakened: [],
      timer: clock,
      random,
      news,
      log,
      ledger,
      view,
      sessions,
      lastAccepts,
      effects,
      idempotencyHmacKey: new Uint8Array(32),
      tracer: NO_TRACER,
      crashPoint,
      closing: this.closing.signal,
    });
    const { signal } = this.closing;
    const publisher = new Publisher({ cursor, appender, table, clock, timer: clock, news, closing: signal });
    this.lifter = new Lifter({ view, appender, publisher, clock });
    const idempotencyHmacKey = new Uint8Array(32);
    this.granter = new Granter({ grants, appender, publisher, random, idempotencyHmacKey, clock });
    this.surveyor = new Surveyor({ ...feed, members, table, term });
    const { rosterForgetMs = 600_000 } = options;
    this.forgetter = new Forgetter({
      ...feed,
      ...{ members, table, appender, term, rosterForgetMs, timer: clock, random, log },
    });
    this.replica = new Replica({
      sessions,
      joiner,
      reopener,
      vouching,
      renewer,
      mender,
      appender,
      lease,
      identity,
      random,
      timer: clock,
      log,
      leaseMs,
      cursor,
      clock,
    });
  }

  /** Replays, joins and renews, as at start. */
  async start(): Promise<this> {
    await this.store.open();
    await this.joiner.replay();
    await this.replica.start();
    const { signal } = this.closing;
    this.#reviewing = Promise.all([
      this.expirer.run(signal),
      this.reevaluator.run(signal),
      this.snapshots.run(signal),
      this.forgetter.run(signal),
    ]);
    return this;
  }

  async stop(): Promise<void> {
    this.closing.abort();
    await this.replica.stop();
    await this.#reviewing;
  }

  #sessionStore(): SessionStore {
    const { records, lostClaims } = this;
    return {
      opened: (record) => {
        if (this.sessionDisk.isFull) throw new Error('disk full');
        records.push(record);
      },
      told: (ref, told) => {
        const at = records.findLastIndex((record) => record.ref === ref);
        const record = records[at];
        if (record !== undefined) records[at] = { ...record, told };
      },
      ended: (_, claims) => {
        for (const claim of claims) this.proven.set(claim, (this.proven.get(claim) ?? 0) + 1);
      },
      lost: (_, claims) => void lostClaims.push(...claims),
      forgotten: (claim) => void lostClaims.splice(lostClaims.indexOf(claim), 1),
      sync: () => this.sessionDisk.sync(),
    };
  }

  get logKey(): Identity['logKey'] {
    return this.identity.logKey;
  }
}

export function tokenOf(subject: string, jti: string, issuedAtS: number): string {
  return `${subject}|${jti}|${issuedAtS}`;
}

export function requestOf(token: string | undefined, over: Partial<AccessRequest> = {}): AccessRequest {
  return {
    subject: { type: 'service', id: 'billing' },
    action: { name: 'read' },
    resource: { type: 'invoice', id: '42' },
    context: {},
    credential: token === undefined ? undefined : { scheme: 'Bearer', token },
    ...over,
  };
}

export function orderOf(over: Partial<RevocationOrder> & Pick<RevocationOrder, 'targets'>): RevocationOrder {
  return {
    reason: undefined,
    ticket: undefined,
    caller: 'admin',
    request: { targets: over.targets },
    idempotencyKey: undefined,
    wait: 'enforced',
    waitMs: 5_000,
    ...over,
  };
}
