// The library of SpacetimeDB 1.4 to 1.12, the npm package `spacetimedb`.

import {
  DbConnectionBuilder, DbConnectionImpl, procedures, reducerSchema, reducers, schema, t, table,
} from 'spacetimedb';
import type { Connection, Library, Table } from './library';
import type { Fields, ModuleSpec, Type } from './specs';

function typeOf(type: Type): any {
  if (typeof type !== 'object') return t[type]();
  if ('array' in type) return t.array(typeOf(type.array));
  if ('option' in type) return t.option(typeOf(type.option));
  return t.enum(type.name, fields(type.enum));
}

function fields(of: Fields, primary?: string): Record<string, any> {
  return Object.fromEntries(Object.entries(of).map(([name, type]) => (
    [name, name === primary ? typeOf(type).primaryKey() : typeOf(type)]
  )));
}

/** What the code that is generated for this library says of a module. */
function remoteModule(spec: ModuleSpec): any {
  const tables = Object.entries(spec.tables).map(([name, { columns, primary }]) => (
    table({ name, public: true }, fields(columns, primary))
  ));
  const calls = Object.entries(spec.reducers).map(([name, params]) => reducerSchema(name, fields(params)));
  return {
    versionInfo: { cliVersion: '1.12.0' },
    tables: schema(...(tables as [])).schemaType.tables,
    reducers: reducers(...(calls as [])).reducersType.reducers,
    ...procedures(),
  };
}

const camel = (name: string) => name.replace(/_(.)/g, (_all, letter: string) => letter.toUpperCase());

export const newest: Library = {
  name: 'the library of 1.12',
  connect(spec, peer, database, options): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const builder = new DbConnectionBuilder<any>(remoteModule(spec), config => new DbConnectionImpl(config))
        .withUri((options.peer ?? peer).url.replace('http', 'ws'))
        .withModuleName(database)
        .withToken(options.token)
        .withCompression(options.compression ?? 'none')
        .withLightMode(options.light ?? false)
        .onConnectError((_ctx, error) => reject(error))
        .onConnect((conn: any, identity, token) => resolve({
          identity: identity.toHexString(),
          connection: conn.connectionId.toHexString(),
          token,
          table: name => conn.db[camel(name)] as Table,
          call: (reducer, args = {}) => conn.reducers[camel(reducer)](args),
          callQuietly: reducer => conn.setReducerFlags[camel(reducer)]('NoSuccessNotify'),
          onCall: (reducer, callback) => conn.onReducer(reducer, (ctx: any) => callback(ctx.event)),
          builder: () => conn.subscriptionBuilder(),
          disconnect: () => conn.disconnect(),
        }));
      builder.build();
    });
  },
};
