/**
 * The log: one JSON line for each event, with the fields of kernel/log.ts and no other. What a field may not be
 * called does not get out, so that no header, credential or key can; and whatever the sink does, a call returns at once.
 */
import { pino } from 'pino';
import type { Log, LogFields } from '../../kernel/log.ts';
import { LOG_FIELDS } from '../../kernel/log.ts';
import { activeTraceIds } from './active-trace.ts';
import type { WriteChunk } from './bounded-writer.ts';
import { BoundedWriter } from './bounded-writer.ts';

const VALUE_BYTES_MAX = 1_024;
const PENDING_BYTES_MAX = 1024 * 1024;

export interface LogOptions {
  readonly sink: WriteChunk;
  readonly pendingBytesMax?: number;
  /** Milliseconds since 1970, as the machine says: a log shows what others on it will see. */
  readonly wallMs?: () => number;
}

export interface OpenLog {
  readonly log: Log;
  /** Lines that did not fit or could not be written, and fields that were not on the list. */
  readonly dropped: { readonly lines: number; readonly fields: number };
  /** Waits until the lines are out, `graceMs` at most. The sink stays open: it is the caller's. */
  readonly close: (graceMs: number) => Promise<void>;
}

export function openLog({
  sink,
  pendingBytesMax = PENDING_BYTES_MAX,
  wallMs = Date.now,
}: LogOptions): OpenLog {
  let droppedFields = 0;
  const writer = new BoundedWriter(sink, {
    pendingBytesMax,
    onRecovered: (count) => logger.warn({ count }, 'log lines were dropped'),
  });
  const logger = pino(
    {
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date(wallMs()).toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
      mixin: traceFields,
    },
    { write: (line) => writer.write(escapeControls(line)) },
  );
  const clean = (fields: LogFields): LogFields => {
    const allowed = Object.fromEntries(Object.entries(fields).filter(isAllowed).map(shortened));
    droppedFields += Object.keys(fields).length - Object.keys(allowed).length;
    return allowed;
  };
  return {
    log: {
      info: (sentence, fields = {}) => logger.info(clean(fields), sentence),
      warn: (sentence, fields = {}) => logger.warn(clean(fields), sentence),
      error: (sentence, fields = {}) => logger.error(clean(fields), sentence),
    },
    dropped: {
      get lines() {
        return writer.droppedLines;
      },
      get fields() {
        return droppedFields;
      },
    },
    close: (graceMs) => writer.drain(graceMs),
  };
}

/** In a traced request: where to look for the rest of it. */
function traceFields(): object {
  const ids = activeTraceIds();
  return ids === undefined ? {} : { trace_id: ids.traceId, span_id: ids.spanId };
}

type Field = [name: string, value: unknown];

const ALLOWED: ReadonlySet<string> = new Set(LOG_FIELDS);

/** The types say so too; this holds for values that came by way of `unknown`. */
function isAllowed([name, value]: Field): boolean {
  return ALLOWED.has(name) && ['string', 'number', 'boolean'].includes(typeof value);
}

const scratch = new Uint8Array(VALUE_BYTES_MAX);
const encoder = new TextEncoder();

/** Text beyond 1 KiB of UTF-8 is cut between two characters. */
function shortened([name, value]: Field): Field {
  if (typeof value !== 'string') return [name, value];
  return [name, value.slice(0, encoder.encodeInto(value, scratch).read)];
}

/** Characters that JSON lets through and a terminal or a reader of lines may act on: DEL, C1, separators, bidi. */
const CONTROLS = /[\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

function escapeControls(line: string): string {
  return line.replace(CONTROLS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
