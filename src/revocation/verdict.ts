/** The revocation view's answer, and nothing else: it knows no policy, no expiry, no lease. */

/** The entry a hit resolves to, so that an answer can say which revocation it was. */
export interface RevocationRef {
  readonly id: string;
  /** `revoked` for the kinds without a cutoff, `cutoff` for those with one, `locked` for a lock (API.md, reasons). */
  readonly reason: 'revoked' | 'cutoff' | 'locked';
  readonly position: string;
}

export type RevocationVerdict =
  | { readonly state: 'clear' }
  | { readonly state: 'revoked'; readonly by: RevocationRef }
  /** The lease is over: nothing can be said about what is not known to be revoked. */
  | { readonly state: 'unknown' };
