/**
 * The one error class and the closed table of its codes. Every door renders a WritError by its code; nobody
 * branches on `message`, and no message, cause or field of one ever carries a secret.
 */

/** code -> HTTP status and the constant title of RFC 9457. README's table is compared with this one. */
export const ERROR_CODES = {
  ALREADY_OPEN: { status: 409, title: 'an epoch is already open' },
  APPEND_UNCERTAIN: {
    status: 504,
    title: 'the fate of the append is unknown; repeat it with the same Idempotency-Key',
  },
  BAD_REQUEST: { status: 400, title: 'the request is malformed' },
  BODY_TOO_LARGE: { status: 413, title: 'the body is too large' },
  CONFIG_INVALID: { status: 500, title: 'the configuration is invalid' },
  DATA_DIR_LOCKED: { status: 500, title: 'another process holds the data directory' },
  EPOCH_CLOSED: { status: 503, title: 'the feed has no open epoch' },
  FENCED: { status: 503, title: 'this replica holds no lease' },
  FORBIDDEN: { status: 403, title: 'the caller may not do this' },
  IDEMPOTENCY_CONFLICT: { status: 409, title: 'the Idempotency-Key was used with another body' },
  INTERNAL: { status: 500, title: 'something unforeseen happened' },
  JOURNAL_CORRUPT: { status: 500, title: 'the journal is damaged' },
  KEY_INVALID: { status: 500, title: 'a key file is damaged or readable by others' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'the method is not allowed here' },
  NOT_FOUND: { status: 404, title: 'no such thing' },
  NOT_FRESHER: { status: 409, title: 'the credential is not fresher' },
  NOT_LIFTABLE: { status: 409, title: 'only a lock can be lifted' },
  NOT_NEW: { status: 409, title: 'this fleet is not new' },
  OVERLOADED: { status: 503, title: 'too much at once' },
  POLICY_INVALID: { status: 422, title: 'the policy bundle was refused' },
  POLICY_UNREACHABLE: { status: 503, title: 'the policy bundle could not be fetched' },
  PROOF_INVALID: { status: 422, title: 'the proof does not verify' },
  SELECTOR_INVALID: { status: 422, title: 'the selector is not of a form that names anything' },
  SESSION_ENDED: { status: 409, title: 'the session was told to end' },
  STILL_LEASED: { status: 409, title: 'that replica may still hold a lease' },
  STORE_BROKEN: { status: 503, title: 'the feed store can no longer be trusted' },
  STORE_UNREACHABLE: { status: 503, title: 'the feed store did not answer' },
  TIME_INVALID: { status: 422, title: 'the time is past, or too far ahead' },
  UNAUTHENTICATED: { status: 401, title: 'a credential is needed' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'the content type is not supported' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What may be otherwise in a moment; doors say `Retry-After`. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'APPEND_UNCERTAIN',
  'EPOCH_CLOSED',
  'FENCED',
  'OVERLOADED',
  'STILL_LEASED',
  'STORE_UNREACHABLE',
]);

export function isPassing(code: ErrorCode): boolean {
  return PASSING.has(code);
}

export interface ErrorOptions {
  /** What went wrong underneath; logged by code and name only, never rendered to a caller. */
  readonly cause?: unknown;
  /** Path of the field at fault, `selector.value`; rendered. */
  readonly field?: string;
}

/** A failure with a stable `code`. `message` is for people and free of secrets. */
export class WritError extends Error {
  override readonly name = 'WritError';
  readonly code: ErrorCode;
  readonly field: string | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.field = options.field;
  }
}

/** True when `error` is a WritError with one of `codes` (any code when none is named). */
export function isWritError(error: unknown, ...codes: ErrorCode[]): error is WritError {
  return error instanceof WritError && (codes.length === 0 || codes.includes(error.code));
}

/** The code by which a failure is logged: of any that is not ours, INTERNAL. */
export function codeOf(error: unknown): ErrorCode {
  return isWritError(error) ? error.code : 'INTERNAL';
}

/** What an operator is told of a failure: an error of ours says it itself, any other says nothing. */
export function explanationOf(error: unknown): string {
  return isWritError(error) ? error.message : 'something unforeseen happened';
}
