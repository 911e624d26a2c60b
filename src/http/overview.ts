/**
 * What an operator asks first: is all well (`/v1/status`), and with which configuration does it run (`/v1/config`).
 * Reads only. `/readyz` stays the cheap probe of one replica; this one says what is still to be looked after, too.
 */
import type { ShownSetting } from '../config/config.ts';
import type { Cursor } from '../feed/cursor.ts';
import { renderPosition } from '../feed/position.ts';
import type { Identity } from '../flows/identity.ts';
import type { Reloader } from '../flows/reload.ts';
import type { Revoker } from '../flows/revoke.ts';
import type { LastAccepts } from '../revocation/last-accepts.ts';
import type { RevocationView } from '../revocation/view.ts';
import type { SessionRegistry } from '../session/registry.ts';
import type { Answer } from './answer.ts';
import type { ReadinessCheck } from './diagnostics.ts';
import type { Inspection } from './inspection.ts';

export interface OverviewPorts {
  readonly settings: readonly ShownSetting[];
  readonly version: string;
  readonly identity: Identity;
  readonly readiness: () => readonly ReadinessCheck[];
  readonly inspection: Inspection;
  readonly view: RevocationView;
  readonly cursor: Cursor;
  readonly sessions: SessionRegistry;
  readonly revoker: Revoker;
  readonly lastAccepts: LastAccepts;
  readonly reloader: Reloader;
  /** Lines of the decision log that were lost; 0 where none is kept. */
  readonly linesLost: () => number;
  /** True while a session may be live by a policy, or by grants, that are no longer in force. */
  readonly isOwingReviews: () => boolean;
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
      sessions,
      revoker,
      lastAccepts,
      reloader,
      linesLost,
      isOwingReviews,
    } = this.#ports;
    const checks = readiness();
    const replicas = this.#replicas();
    const loose = {
      replicasFenced: replicas.fenced,
      sessionsEnding: sessions.endingCount,
      revocationsOpen: revoker.openCount,
      lateAccepts: lastAccepts.lateTotal,
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
        position: renderPosition(cursor.position),
        targets: view.size,
        replicasLive: replicas.live,
        sessions: sessions.size,
        ...loose,
        checks,
      },
    };
  }

  #replicas(): { readonly live: number; readonly fenced: number } {
    const states = this.#ports.inspection.replicaRows().map(({ state }) => state);
    const count = (wanted: string): number => states.filter((state) => state === wanted).length;
    return { live: count('live'), fenced: count('fenced') };
  }
}
