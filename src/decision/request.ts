/** An access request in AuthZEN's words (Authorization API 1.0, section 5), already parsed. */
import type { Credential } from '../credential/credential.ts';
import type { JsonObject } from '../kernel/json.ts';

export interface Subject {
  readonly type: string;
  readonly id: string;
  readonly properties?: JsonObject;
}

export interface Action {
  readonly name: string;
  readonly properties?: JsonObject;
}

export interface Resource {
  readonly type: string;
  readonly id: string;
  readonly properties?: JsonObject;
}

export interface AccessRequest {
  readonly subject: Subject;
  readonly action: Action;
  readonly resource: Resource;
  /** Without `credential`: policy never sees it. */
  readonly context: JsonObject;
  readonly credential: Credential | undefined;
}
