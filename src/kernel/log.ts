/**
 * The log as pure code and flows see it. A line is a constant sentence with fields; fields are a closed list
 * (the edge drops any other), and no field ever carries a credential, a session id or a key.
 */

/** The only field names a log line may carry. edges/telemetry enforces it. */
export const LOG_FIELDS = [
  'address',
  'caller',
  'code',
  'count',
  'decision',
  'detail',
  'digest',
  'durationMs',
  'entrypoint',
  'epoch',
  'file',
  'fleet',
  'issuer',
  'key',
  'kind',
  'listener',
  'position',
  'reason',
  'replica',
  'revocation',
  'signal',
  'state',
  'version',
] as const;

export type LogField = (typeof LOG_FIELDS)[number];
export type LogFields = Partial<Record<LogField, string | number | boolean>>;

export interface Log {
  info(sentence: string, fields?: LogFields): void;
  warn(sentence: string, fields?: LogFields): void;
  error(sentence: string, fields?: LogFields): void;
}
