/** AuthZEN 1.0 request objects from JSON (sections 5 and 6). Unknown members are ignored, as the text demands. */
import { parseCredential } from '../credential/parse-credential.ts';
import type { Credential } from '../credential/credential.ts';
import type { AccessRequest, Action, Resource, Subject } from '../decision/request.ts';
import type { Reason } from '../decision/decision.ts';
import { WritError } from '../kernel/error.ts';
import type { Json, JsonObject } from '../kernel/json.ts';
import { isJsonObject } from '../kernel/json.ts';

/** A request whose credential is malformed is well-formed itself: it is denied, with this. */
export interface Malformed {
  readonly reason: Reason;
  readonly detail: string;
}

export interface ParsedRequest {
  readonly request: AccessRequest;
  readonly malformed: Malformed | undefined;
}

/** The four members of an evaluation; BAD_REQUEST with the field for what is missing or mistyped. */
export function parseAccessRequest(body: JsonObject): ParsedRequest {
  const { context, credential, malformed } = parseContext(body['context']);
  const request = {
    subject: parseSubject(body['subject']),
    action: parseAction(body['action']),
    resource: parseResource(body['resource']),
    context,
    credential,
  };
  return { request, malformed };
}

export function parseSubject(value: Json | undefined): Subject {
  return parseEntity(value, 'subject');
}

export function parseResource(value: Json | undefined): Resource {
  return parseEntity(value, 'resource');
}

export function parseAction(value: Json | undefined): Action {
  const action = objectAt(value, 'action');
  return { name: textAt(action['name'], 'action.name'), ...propertiesOf(action, 'action') };
}

interface ParsedContext {
  readonly context: JsonObject;
  readonly credential: Credential | undefined;
  readonly malformed: Malformed | undefined;
}

/** The default of a batch is one object for all of its items: a copy for each of a thousand would be a heap. */
const contexts = new WeakMap<object, ParsedContext>();

/** The context without `credential`, which policy never sees, and the credential that was in it. */
export function parseContext(value: Json | undefined): ParsedContext {
  if (value === undefined) return { context: {}, credential: undefined, malformed: undefined };
  const whole = objectAt(value, 'context');
  const known = contexts.get(whole);
  if (known !== undefined) return known;
  const parsed = splitContext(whole);
  contexts.set(whole, parsed);
  return parsed;
}

function splitContext({ credential: presented, ...context }: JsonObject): ParsedContext {
  if (presented === undefined) return { context, credential: undefined, malformed: undefined };
  const parsed = parseCredential(presented);
  if ('reason' in parsed) return { context, credential: undefined, malformed: parsed };
  return { context, credential: parsed, malformed: undefined };
}

function parseEntity(value: Json | undefined, field: 'subject' | 'resource'): Subject {
  const entity = objectAt(value, field);
  return {
    type: textAt(entity['type'], `${field}.type`),
    id: textAt(entity['id'], `${field}.id`),
    ...propertiesOf(entity, field),
  };
}

function propertiesOf(entity: JsonObject, field: string): { properties?: JsonObject } {
  const { properties } = entity;
  return properties === undefined ? {} : { properties: objectAt(properties, `${field}.properties`) };
}

function objectAt(value: Json | undefined, field: string): JsonObject {
  if (!isJsonObject(value)) throw new WritError('BAD_REQUEST', `${field} must be an object`, { field });
  return value;
}

function textAt(value: Json | undefined, field: string): string {
  if (typeof value !== 'string' || value === '') {
    throw new WritError('BAD_REQUEST', `${field} must be a non-empty string`, { field });
  }
  return value;
}
