/**
 * What an operator asks first: is all well (`/v1/status`), and with which configuration does it run (`/v1/config`).
 * Reads only. `/readyz` stays the cheap probe of one replica; this one says what is still to be looked after, too.
 */
import type { ShownSetting } from '../config/config.ts';
import type { Cursor } from '../feed/cursor.ts';
import { renderPosition } from '../feed/position.ts';
import type { Cosigner } from '../flows/cosign.ts';
import type { Identity } from '../flows/identity.ts';
import type { Reloader } from '../flows/reload.ts';
import type { OpenRevocation, Revoker } from '../flows/revoke.ts';
import type { Snapshotter } from '../flows/snapshot.ts';
import type { Sight, SightState, Surveyor } from '../flows/survey.ts';
import { renderInstant } from '../kernel/clock.ts';
import type { LastAccepts } from '../revocation/last-accepts.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Answer } from './answer.ts';
import type { ReadinessCheck } from './diagnostics.ts';

export interface OverviewPorts {
  readonly settings: readonly ShownSetting[];
  readonly version: string;
  readonly identity: Identity;
  readonly readiness: () => readonly ReadinessCheck[];
  readonly surveyor: Surveyor;
  readonly cosigner: Cosigner;
  readonly view: RevocationView;
  readonly cursor: Cursor;
  readonly snapshots: Pick<Snapshotter, 'agrees'>;
  readonly sessions: SessionRegistry;
  readonly revoker: Revoker;
  readonly lastAccepts: LastAccepts;
  readonly reloader: Pick<Reloader, 'lastFailure'>;
  /** What the feed store, by its settings, makes weaker than promised. */
  readonly storeWeakens: readonly string[];
  /** Lines of the decision log that were lost; 0 where none is kept. */
  readonly linesLost: () => number;
  /** True while a session may be live by a policy, or by grants, that are no longer in force. */
  readonly isOwingReviews: () => boolean;
  /** Where its data plane listens. */
  readonly dataUrl: () => string;
}

export class Overview {
  readonly #ports: OverviewPorts;

  constructor(ports: OverviewPorts) {
    this.#ports = ports;
  }

  config(): Answer {
    return { status: 200, body: { settings: this.#ports.settings } };
  }

  /** Always 200: the question was answered. `verdict` is `well` only when nothing below it needs anybody. */
  status(): Answer {
    const {
      version,
      identity,
      readiness,
      view,
      cursor,
      snapshots,
      sessions,
      revoker,
      lastAccepts,
      cosigner,
      reloader,
      storeWeakens,
      linesLost,
      isOwingReviews,
      dataUrl,
    } = this.#ports;
    const checks = readiness();
    const replicas = this.#replicas();
    const namesakes = namesakesOf(replicas('live'));
    const loose = {
      replicasFenced: replicas('fenced').length,
      replicasOutstanding: replicas('waiting', 'outstanding', 'unknown').length,
      namesShared: namesakes.length,
      promisesWeakened: storeWeakens.length,
      factsNotShared: cursor.tails.reduce((sum, { missing }) => sum + missing.size, 0),
      snapshotsDiffering: snapshots.agrees ? 0 : 1,
      sessionsEnding: sessions.endingCount,
      revocationsOpen: revoker.openCount,
      lateAccepts: lastAccepts.lateTotal,
      ledgersForked: cosigner.forks.length,
      bundlesRefused: reloader.lastFailure === undefined ? 0 : 1,
      decisionLogLinesLost: linesLost(),
      reviewsOwed: isOwingReviews() ? 1 : 0,
    };
    const isReady = checks.every(({ ok }) => ok);
    const isLoose = Object.values(loose).some((count) => count > 0);
    return {
      status: 200,
      body: {
        verdict: !isReady ? 'not ready' : isLoose ? 'ready, with loose ends' : 'well',
        version,
        fleet: identity.fleet,
        replica: identity.replica,
        incarnation: identity.incarnation,
        dataUrl: dataUrl(),
        position: renderPosition(cursor.position),
        targets: view.size,
        replicasLive: replicas('live').length,
        sessions: sessions.size,
        ...loose,
        looseEnds: [
          ...this.#looseReplicas(),
          ...namesakes,
          ...revoker.open(REVOCATIONS_NAMED_MAX).map(unfinished),
          ...cosigner.forks.map(
            ({ replica, incarnation, position }) =>
              `the ledger is forked: ${replica} (${incarnation}) has another one up to ${position}`,
          ),
          ...storeWeakens.map((what) => `the store weakens a promise: ${what}`),
          ...(loose.factsNotShared > 0 ? [notShared(loose.factsNotShared)] : []),
          ...(snapshots.agrees ? [] : [DIFFERING]),
        ],
        checks,
      },
    };
  }

  #replicas(): (...wanted: SightState[]) => readonly Sight[] {
    const all = this.#ports.surveyor.look();
    return (...wanted) => all.filter(({ state }) => wanted.includes(state));
  }

  /** By name, for whoever has to do something about it. */
  #looseReplicas(): string[] {
    return this.#replicas()('fenced', 'waiting', 'outstanding', 'unknown').map(
      ({ replica, incarnation, ...sight }) => {
        const { state, isSelf, fencedSinceMs } = sight;
        const since = fencedSinceMs === undefined ? '' : ` since ${renderInstant(fencedSinceMs)}`;
        const why = state === 'unknown' ? ': no reading of it here is recent enough to tell' : '';
        return `${isSelf ? 'this replica' : replica} (${incarnation}) is ${state}${since}${why}`;
      },
    );
  }
}

/** Of so many it is said which they are, and what they wait for. */
const REVOCATIONS_NAMED_MAX = 10;

function unfinished({ id, state, replicas, sessions, owing }: OpenRevocation): string {
  const count = sessions === 0 ? 'sessions' : `${sessions} session${sessions === 1 ? '' : 's'}`;
  const whose = owing.length === 0 ? '' : ` of ${owing.join(' and ')}`;
  const isOwed = sessions > 0 || owing.length > 0;
  const awaited = [...replicas, ...(isOwed ? [`${count}${whose} not known to have ended`] : [])];
  return `${id} is ${state}${awaited.length > 0 ? `; it waits for ${awaited.join(', ')}` : ''}`;
}

/** Sentences: each name that more than one process answers to now. They do no harm, but whoever reads a name is misled. */
function namesakesOf(live: readonly Sight[]): readonly string[] {
  return [...Map.groupBy(live, ({ replica }) => replica)]
    .filter(([, all]) => all.length > 1)
    .map(([name, all]) => {
      const who = all.map(({ incarnation }) => incarnation).join(' and of ');
      return `${name} is the name of ${who}, which run at the same time: give each a name of its own`;
    });
}

/** Facts that the store lost and only this replica had. */
function notShared(count: number): string {
  return `${count} facts that the store had lost are in force here and not everywhere: they are being appended again`;
}

const DIFFERING = 'the newest snapshot is not what this replica holds: nothing is trimmed until they agree';
