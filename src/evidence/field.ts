/** Fields that signed statements share, as schemas. Each has one spelling. */
import * as z from 'zod';

export const id = z.string().min(1).max(64);
export const name = z.string().min(1).max(256);
/** RFC 3339, UTC, milliseconds: as renderInstant writes it. */
export const instant = z.iso.datetime({ precision: 3 });
export const count = z.int().min(0);
export const position = z.string().regex(/^(0|[1-9]\d{0,14})-(0|[1-9]\d{0,14})$/);
export const sha1 = z.string().regex(/^[0-9a-f]{40}$/);
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
