//! What programs import, `index.ts`: the same for every module.

/// Writes `index.ts`.
pub(super) fn file() -> String {
    INDEX.replace("LIBRARY_VERSION", super::LIBRARY_VERSION)
}

const INDEX: &str = r#"import {
  DbConnectionBuilder as __DbConnectionBuilder,
  DbConnectionImpl as __DbConnectionImpl,
  SubscriptionBuilderImpl as __SubscriptionBuilderImpl,
  convertToAccessorMap as __convertToAccessorMap,
  makeQueryBuilder as __makeQueryBuilder,
} from "spacetimedb";
import type {
  DbConnectionConfig as __DbConnectionConfig,
  ErrorContextInterface as __ErrorContextInterface,
  EventContextInterface as __EventContextInterface,
  ReducerEventContextInterface as __ReducerEventContextInterface,
  SubscriptionEventContextInterface as __SubscriptionEventContextInterface,
  SubscriptionHandleImpl as __SubscriptionHandleImpl,
} from "spacetimedb";
import { procedures as __procedures } from "./procedures";
import { reducers as __reducers } from "./reducers";
import { schema as __schema } from "./tables";

export * from "./types";

const REMOTE_MODULE = {
  // The release of the library that this was written for.
  versionInfo: { cliVersion: "LIBRARY_VERSION" as const },
  tables: __schema.schemaType.tables,
  reducers: __reducers.reducersType.reducers,
  procedures: __procedures.procedures,
};

/** The module's definition, as a type. */
export type RemoteModule = typeof REMOTE_MODULE;

/** Tables, to write queries with. */
export const tables = __makeQueryBuilder(__schema.schemaType);

/** What is known of each reducer, by its accessor. */
export const reducers = __convertToAccessorMap(__reducers.reducersType.reducers);

/** What is known of each procedure, by its accessor. */
export const procedures = __convertToAccessorMap(__procedures.procedures);

/** What callbacks of rows get. */
export type EventContext = __EventContextInterface<RemoteModule>;

/** What callbacks of reducers get. */
export type ReducerEventContext = __ReducerEventContextInterface<RemoteModule>;

/** What callbacks of subscriptions get. */
export type SubscriptionEventContext = __SubscriptionEventContextInterface<RemoteModule>;

/** What callbacks of errors get. */
export type ErrorContext = __ErrorContextInterface<RemoteModule>;

/** A subscription, to end it with. */
export type SubscriptionHandle = __SubscriptionHandleImpl<RemoteModule>;

/** Makes subscriptions. */
export class SubscriptionBuilder extends __SubscriptionBuilderImpl<RemoteModule> {}

/** Makes connections; `DbConnection.builder()` makes one of these. */
export class DbConnectionBuilder extends __DbConnectionBuilder<DbConnection> {}

/** A connection to a database of this module. */
export class DbConnection extends __DbConnectionImpl<RemoteModule> {
  /** Begins a new connection. */
  static builder = (): DbConnectionBuilder =>
    new DbConnectionBuilder(
      REMOTE_MODULE,
      (config: __DbConnectionConfig<RemoteModule>) => new DbConnection(config),
    );

  /** Begins a new subscription. */
  override subscriptionBuilder = (): SubscriptionBuilder => new SubscriptionBuilder(this);
}
"#;
