/** SPIFFE IDs (SPIFFE-ID 2.1-2.4): recognised to the letter, because one is a handle and names a trust domain. */

const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/[A-Za-z0-9._-]+)*$/;
const DOT_SEGMENT = /\/\.{1,2}(\/|$)/;
const SPIFFE_ID_CHARS_MAX = 2_048;

export function isSpiffeId(text: string): boolean {
  return text.length <= SPIFFE_ID_CHARS_MAX && SPIFFE_ID.test(text) && !DOT_SEGMENT.test(text.slice(8));
}

/** `spiffe://<trust domain>` of a SPIFFE ID, or undefined when `text` is none. */
export function trustDomainOf(text: string): string | undefined {
  if (!isSpiffeId(text)) return undefined;
  const path = text.indexOf('/', 'spiffe://'.length);
  return path < 0 ? text : text.slice(0, path);
}
