/**
 * How long HTTP requests took, by route as the table of routes spells it, method and status: closed lists, whatever is
 * asked for. Doors record into it; nothing of a request itself is kept.
 */
import { Histogram, REQUEST_BOUNDS_S } from '../../kernel/histogram.ts';
import type { Point } from './metric.ts';

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'DELETE']);

export class RequestDurations {
  readonly #byRoute = new Map<string, Map<string, Map<number, Histogram>>>();

  /** `route` is a path of a table of routes, or `*` where none matched. */
  record(route: string, method: string, status: number, durationMs: number): void {
    this.#find(route, METHODS.has(method) ? method : '_OTHER', status).record(durationMs / 1000);
  }

  list(): readonly Point<Histogram>[] {
    return [...this.#byRoute].flatMap(([route, methods]) =>
      [...methods].flatMap(([method, statuses]) =>
        [...statuses].map(([status, value]) => ({
          labels: {
            http_request_method: method,
            http_response_status_code: String(status),
            http_route: route,
          },
          value,
        })),
      ),
    );
  }

  #find(route: string, method: string, status: number): Histogram {
    const found = this.#byRoute.get(route)?.get(method)?.get(status);
    if (found !== undefined) return found;
    const methods = this.#byRoute.get(route) ?? new Map<string, Map<number, Histogram>>();
    this.#byRoute.set(route, methods);
    const statuses = methods.get(method) ?? new Map<number, Histogram>();
    methods.set(method, statuses);
    const made = new Histogram(REQUEST_BOUNDS_S);
    statuses.set(status, made);
    return made;
  }
}
