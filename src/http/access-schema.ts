/**
 * The bodies of the data plane as schemas. Its doors are hot and parse by hand (access-request.ts); a property test
 * holds these and those parsers to the same answer for every body it can think of.
 */
import * as z from 'zod';
import { LIMITS } from '../kernel/limits.ts';

const word = z.string().min(1);
const properties = z.record(z.string(), z.unknown());

const entity = z.looseObject({ type: word, id: word, properties: properties.exactOptional() });
const action = z.looseObject({ name: word, properties: properties.exactOptional() });

/** What is no credential of this shape is not malformed as a request: it is denied, `invalid_credential`. */
const credential = z.unknown().meta({
  description: 'What the caller presented: an object, or the bare token.',
  examples: [{ scheme: 'Bearer', token: 'eyJ…' }, 'eyJ…'],
});

const context = z.looseObject({ credential: credential.optional() });

export const accessRequest = z
  .looseObject({ subject: entity, action, resource: entity, context: context.exactOptional() })
  .describe('AuthZEN 1.0 section 5; other members are ignored.');

const evaluationsOptions = z.looseObject({
  evaluations_semantic: z
    .enum(['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'])
    .exactOptional(),
});

/** Without items it is a single evaluation, whose members must then be there. */
export const accessRequests = z
  .looseObject({
    subject: z.unknown().optional(),
    action: z.unknown().optional(),
    resource: z.unknown().optional(),
    context: z.unknown().optional(),
    evaluations: z
      .array(z.unknown())
      .max(LIMITS.evaluationsMax)
      .exactOptional()
      .describe('Each with its own members over the defaults beside this list.'),
    options: evaluationsOptions.exactOptional(),
  })
  .describe('AuthZEN 1.0 section 7. An item that is malformed is a deny in its place.');

export const dataQuery = z.looseObject({
  input: z.looseObject({ credential: credential.optional() }).exactOptional(),
});

export const sessionOrder = z.looseObject({
  credential: credential.optional(),
  kind: z.string().regex(/^[a-z0-9-]{1,32}$/),
  selfEnds: z.boolean().exactOptional().describe('The holder ends it when its last freshForMs is over.'),
  subject: entity.exactOptional(),
  action,
  resource: entity,
  context: z.looseObject({}).exactOptional(),
});

export const freshCredential = z.looseObject({ credential: credential.optional() });
