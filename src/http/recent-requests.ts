/**
 * Access requests by the exact text of their bodies: what came before is not parsed again. Parsing is a pure function
 * of the text, so nothing is decided here; only what parsed is kept, and a body is forgotten when others come.
 */
import { RecentMap } from '../kernel/recent-map.ts';
import { LIMITS } from '../kernel/limits.ts';
import type { ParsedRequest } from './access-request.ts';
import { parseAccessRequest } from './access-request.ts';
import { parseObject } from './body.ts';

export class RecentRequests {
  readonly #parsed = new RecentMap<ParsedRequest>(LIMITS.requestsRememberedMax);

  /** The request in `body`; BAD_REQUEST as parseAccessRequest says. The same text gives the same object while it is remembered. */
  parse(body: string): ParsedRequest {
    const known = this.#parsed.get(body);
    if (known !== undefined) return known;
    const parsed = parseAccessRequest(parseObject(body, false));
    if (body.length <= LIMITS.requestRememberedCharsMax) this.#parsed.set(body, parsed);
    return parsed;
  }
}
