/**
 * Probes (Kubernetes' words) and metrics. `/livez` asks the process only; `/readyz` is 200 exactly when this replica may
 * say yes.
 */
import type { RequestListener } from 'node:http';
import type { Log } from '../kernel/log.ts';
import type { Answer } from './answer.ts';
import type { RequestWatch } from './request-watch.ts';
import type { Route } from './router.ts';
import { createRouter } from './router.ts';

export interface ReadinessCheck {
  readonly name: 'policy' | 'keys' | 'store' | 'epoch' | 'lease' | 'view' | 'decision_log';
  readonly ok: boolean;
  readonly detail: string;
}

export interface DiagnosticsPorts {
  readonly readiness: () => readonly ReadinessCheck[];
  readonly metrics: { readonly type: string; readonly page: () => Promise<string> };
  readonly requests: RequestWatch;
  readonly log: Log;
}

export function diagnostics({ readiness, metrics, requests, log }: DiagnosticsPorts): RequestListener {
  let hasStarted = false;
  const ready = (): Answer => {
    const checks = readiness();
    const isReady = checks.every(({ ok }) => ok);
    hasStarted ||= isReady;
    return { status: isReady ? 200 : 503, body: { status: isReady ? 'ready' : 'not ready', checks } };
  };
  const started = (): Answer => {
    const { body } = ready();
    return hasStarted ? { status: 200, body: { status: 'started' } } : { status: 503, body };
  };
  const live = (): Answer => ({ status: 200, body: { status: 'live' } });
  const scraped = async (): Promise<Answer> => ({
    status: 200,
    text: await metrics.page(),
    type: metrics.type,
  });
  const routes: Route[] = [
    { method: 'GET', path: '/livez', handle: live },
    { method: 'GET', path: '/healthz', handle: live },
    { method: 'GET', path: '/readyz', handle: ready },
    { method: 'GET', path: '/startupz', handle: started },
    { method: 'GET', path: '/metrics', handle: scraped },
  ];
  return createRouter(routes, { log, requests, plane: 'diagnostics' });
}
