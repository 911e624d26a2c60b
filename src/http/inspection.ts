/** What the control plane shows of this replica: revocations, sessions, replicas, keys, the ledger. Reads only. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { renderCosignature, renderCosignerKey } from '../evidence/cosignature.ts';
import { logName } from '../evidence/keyring.ts';
import type { ExportFrontier } from '../evidence/ledger-audit.ts';
import { renderCheckpointLine } from '../evidence/ledger-export.ts';
import { MerkleTree, leafHash } from '../evidence/merkle.ts';
import { noteKeyOf, renderNoteKey } from '../evidence/note.ts';
import type { Cursor } from '../feed/cursor.ts';
import type { Target } from '../feed/entry.ts';
import { leafText, renderLine } from '../feed/entry.ts';
import type { Ledger } from '../feed/ledger.ts';
import type { Members } from '../feed/members.ts';
import type { Position } from '../feed/position.ts';
import { BEFORE_ALL, ORIGIN, comparePositions, parsePosition, renderPosition } from '../feed/position.ts';
import type { Cosigner } from '../flows/cosign.ts';
import type { Identity } from '../flows/identity.ts';
import type { Revoker } from '../flows/revoke.ts';
import type { Sight, Surveyor } from '../flows/survey.ts';
import type { Tree } from '../flows/tree.ts';
import type { Clock } from '../kernel/clock.ts';
import { renderInstant } from '../kernel/clock.ts';
import { WritError } from '../kernel/error.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Session } from '../session/session.ts';
import type { Answer } from './answer.ts';

export interface InspectionPorts {
  readonly identity: Identity;
  readonly view: RevocationView;
  readonly sessions: SessionRegistry;
  readonly members: Members;
  readonly surveyor: Surveyor;
  readonly tree: Tree;
  readonly cosigner: Cosigner;
  readonly ledger: Ledger;
  readonly cursor: Cursor;
  readonly revoker: Revoker;
  readonly clock: Clock;
}

type Query = ReadonlyMap<string, string>;

export class Inspection {
  readonly #ports: InspectionPorts;

  constructor(ports: InspectionPorts) {
    this.#ports = ports;
  }

  async dryRun(targets: readonly Target[]): Promise<Answer> {
    const { targets: count, sessions, seen, lastAcceptMs } = await this.#ports.revoker.dryRun(targets);
    const lastAcceptAt = lastAcceptMs === undefined ? {} : { lastAcceptAt: renderInstant(lastAcceptMs) };
    return {
      status: 200,
      body: { dryRun: true, targets: count, sessions: { matched: sessions }, seen, ...lastAcceptAt },
    };
  }

  /** `after` (a position) and `limit` page through them, oldest first. */
  revocations(query: Query): Answer {
    const limit = limitOf(query, LIMITS.revocationsListedMax);
    const after = afterOf(query);
    requireKnown(query, ['after', 'limit']);
    const records = this.#ports.view.records({ after, limit });
    return {
      status: 200,
      body: {
        revocations: records.map(({ position, targetsCount, body: _body, ...record }) => ({
          ...record,
          position: renderPosition(position),
          targets: targetsCount,
        })),
      },
    };
  }

  sessions(query: Query): Answer {
    requireKnown(query, ['limit']);
    const { sessions, clock } = this.#ports;
    const now = clock.now();
    const shown = sessions
      .list(limitOf(query, LIMITS.revocationsListedMax))
      .map((session) => renderSession(session, sessions.isUnconfirmed(session, now)));
    return { status: 200, body: { sessions: shown, total: sessions.size } };
  }

  replicas(): Answer {
    return { status: 200, body: { replicas: this.#ports.surveyor.look().map(renderSight) } };
  }

  /** With a line of each replica that has cosigned this very place. */
  checkpoint(): Answer {
    const { tree, cosigner } = this.#ports;
    const { size, root } = tree.head;
    const lines = cosigner
      .cosignatures()
      .filter((one) => one.size === size && Buffer.compare(one.root, root) === 0)
      .map(({ line }) => `${line}\n`);
    const text = [tree.checkpoint(), ...lines].join('');
    return { status: 200, text, type: 'text/plain; charset=utf-8' };
  }

  /** The log's verifier key, which is all a stranger needs, and the replicas' for people. */
  keys(): Answer {
    const { identity, members } = this.#ports;
    const log = logName(identity.fleet);
    const replicas = members.list().map(({ replica, incarnation, key }) => ({
      replica,
      incarnation,
      key: key.x,
      cosigner: renderCosignerKey(log, replica, key),
    }));
    return {
      status: 200,
      body: { log: renderNoteKey(noteKeyOf(log, identity.logKey.public)), replicas },
    };
  }

  /**
   * The ledger as JSON lines from `from` (a position; the first line held by default), and last the signed
   * checkpoint over exactly what came before it. What is appended meanwhile is not part of this export.
   */
  async streamLedger(query: Query, res: ServerResponse): Promise<void> {
    requireKnown(query, ['from']);
    const from = parsePosition(query.get('from') ?? renderPosition(ORIGIN), 'from');
    const { cursor, tree, cosigner } = this.#ports;
    // Not the newest: that may not be on disk yet, and the tree's head is not it either.
    const head = cursor.settled;
    const checkpoint = tree.checkpoint();
    const cosigned = cosigner.cosignatures().map(renderCosignature);
    const after = { epoch: from.epoch, sequence: Math.max(0, from.sequence - 1) };
    const last = renderCheckpointLine(checkpoint, await this.#frontier(after, head), cosigned);
    res.writeHead(200, { 'content-type': 'application/jsonl', 'cache-control': 'no-store' });
    await this.#writeLines(after, head, res);
    res.end(`${last}\n`);
  }

  /** What a stranger needs to get from a tree of the first lines to the signed root, when those are not exported. */
  async #frontier(after: Position, head: Position): Promise<ExportFrontier | undefined> {
    const { ledger, tree } = this.#ports;
    const [next] = await ledger.read(after, 1);
    const isHeld = next !== undefined && comparePositions(next.position, head) <= 0;
    const { epoch, sequence } = isHeld ? next.position : { ...head, sequence: head.sequence + 1 };
    const size = sequence - 1;
    // It begins with an epoch, whichever is the first one held.
    if (size === 0) return undefined;
    const { base } = ledger;
    if (base?.position.epoch === epoch && base.position.sequence === size)
      return { size, chain: base.chain, hashes: base.frontier };
    const [last] = await ledger.read({ epoch, sequence: size - 1 }, 1);
    if (last === undefined) return undefined;
    const hashes = epoch === tree.epoch ? tree.frontier(size) : await this.#frontierOf(epoch, size);
    return { size, chain: last.chain, hashes };
  }

  /** Of an earlier epoch, whose tree is no longer in memory: its first `size` lines are hashed again. */
  async #frontierOf(epoch: number, size: number): Promise<readonly Uint8Array[]> {
    const { base } = this.#ports.ledger;
    const isBased = base?.position.epoch === epoch;
    const merkle = isBased ? MerkleTree.from(base.position.sequence, base.frontier) : new MerkleTree();
    while (merkle.size < size) {
      const limit = Math.min(LIMITS.pageEntriesMax, size - merkle.size);
      const page = await this.#ports.ledger.read({ epoch, sequence: merkle.size }, limit);
      for (const line of page) merkle.append(leafHash(leafText(line)));
      if (page.length === 0) throw new WritError('INTERNAL', 'the ledger lacks what it had');
    }
    return merkle.frontier(size);
  }

  async #writeLines(after: Position, head: Position, res: ServerResponse): Promise<void> {
    let at = after;
    while (comparePositions(at, head) < 0 && !res.destroyed) {
      const page = await this.#ports.ledger.read(at, LIMITS.pageEntriesMax);
      const lines = page.filter(({ position }) => comparePositions(position, head) <= 0);
      const last = lines.at(-1);
      // It was cut, or began again at a snapshot, while this read it: no checkpoint may stand under half of it.
      if (last === undefined) return void res.destroy();
      at = last.position;
      if (!res.write(lines.map((line) => `${renderLine(line)}\n`).join(''))) await drained(res);
    }
  }
}

/** Resolves when the reader has taken what was written, or is gone. */
async function drained(res: ServerResponse): Promise<void> {
  if (res.destroyed) return;
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  res.once('close', onClose);
  await once(res, 'drain', { signal: gone.signal }).catch(() => undefined);
  res.off('close', onClose);
}

function renderSession(session: Session, isUnconfirmed: boolean): Record<string, unknown> {
  const { ref, kind, subject, selfEnds, openedAtMs, expiresAtS, kill } = session;
  return {
    session: ref,
    kind,
    subject,
    selfEnds,
    openedAt: renderInstant(openedAtMs),
    ...(expiresAtS === undefined ? {} : { expiresAt: renderInstant(expiresAtS * 1000) }),
    ...(kill === undefined
      ? {}
      : {
          kill: {
            reason: kill.reason,
            revocation: kill.revocation,
            at: renderInstant(kill.at.wallMs),
            unconfirmed: isUnconfirmed,
          },
        }),
  };
}

function renderSight({ isSelf, position, fencedSinceMs, unconfirmed, ...sight }: Sight): object {
  // What is undefined is in no JSON.
  return {
    replica: sight.replica,
    incarnation: sight.incarnation,
    self: isSelf,
    state: sight.state,
    joinedAt: sight.joinedAt,
    position: position === undefined ? undefined : renderPosition(position),
    lag: sight.lag,
    freshForMs: sight.freshForMs,
    mayAllowForMs: sight.mayAllowForMs,
    fencedSince: fencedSinceMs === undefined ? undefined : renderInstant(fencedSinceMs),
    clock: sight.clock,
    sessionsUnconfirmed: unconfirmed,
  };
}

/** BAD_REQUEST unless it is 1 to `max`. */
export function limitOf(query: Query, max: number): number {
  const text = query.get('limit') ?? '100';
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= max) return limit;
  throw new WritError('BAD_REQUEST', `limit is 1 to ${max}`, { field: 'limit' });
}

/** Where a list goes on. Without it, it begins with what was lost and has not come again: in force, and at ORIGIN. */
export function afterOf(query: Query): Position {
  const text = query.get('after');
  return text === undefined ? BEFORE_ALL : parsePosition(text, 'after');
}

/** BAD_REQUEST for a parameter that is not known here. */
export function requireKnown(query: Query, known: readonly string[]): void {
  for (const name of query.keys()) {
    if (!known.includes(name)) throw new WritError('BAD_REQUEST', `parameters are ${known.join(', ')}`);
  }
}
