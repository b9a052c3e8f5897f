// The library of SpacetimeDB 1.0 to 1.3, `@clockworklabs/spacetimedb-sdk`.

import {
  AlgebraicType, BinaryWriter, DbConnectionBuilder, DbConnectionImpl, ProductTypeElement, SumTypeVariant,
  type CallReducerFlags,
} from '@clockworklabs/spacetimedb-sdk';
import type { Connection, Library, Row, Table } from './library';
import type { Fields, ModuleSpec, Type } from './specs';

function typeOf(type: Type): AlgebraicType {
  if (typeof type === 'object') {
    if ('array' in type) return AlgebraicType.createArrayType(typeOf(type.array));
    if ('option' in type) return AlgebraicType.createOptionType(typeOf(type.option));
    const variants = Object.entries(type.enum).map(([name, type]) => new SumTypeVariant(name, typeOf(type)));
    return AlgebraicType.createSumType(variants);
  }
  switch (type) {
    case 'u8': return AlgebraicType.createU8Type();
    case 'u32': return AlgebraicType.createU32Type();
    case 'u64': return AlgebraicType.createU64Type();
    case 'i64': return AlgebraicType.createI64Type();
    case 'string': return AlgebraicType.createStringType();
    case 'bool': return AlgebraicType.createBoolType();
    case 'identity': return AlgebraicType.createIdentityType();
    case 'timestamp': return AlgebraicType.createTimestampType();
    case 'unit': return AlgebraicType.createProductType([]);
  }
}

function product(fields: Fields): AlgebraicType {
  const elements = Object.entries(fields).map(([name, type]) => new ProductTypeElement(name, typeOf(type)));
  return AlgebraicType.createProductType(elements);
}

/** What the code that is generated for this library says of a module. */
function remoteModule(spec: ModuleSpec) {
  const tables = Object.fromEntries(Object.entries(spec.tables).map(([tableName, { columns, primary }]) => {
    const primaryKeyInfo = primary && { colName: primary, colType: typeOf(columns[primary]!) };
    return [tableName, { tableName, rowType: product(columns), ...(primaryKeyInfo ? { primaryKeyInfo } : {}) }];
  }));
  const reducers = Object.fromEntries(Object.entries(spec.reducers).map(([reducerName, params]) => (
    [reducerName, { reducerName, argsType: product(params) }]
  )));
  return {
    tables,
    reducers,
    versionInfo: { cliVersion: '1.3.0' },
    eventContextConstructor: (conn: DbConnectionImpl, event: any) => ({ ...conn, event }),
    dbViewConstructor: (conn: any) => Object.fromEntries(
      Object.entries(tables).map(([name, table]) => [name, conn.clientCache.getOrCreateTable(table)]),
    ),
    reducersConstructor: (conn: DbConnectionImpl, flags: Record<string, CallReducerFlags>) => Object.fromEntries(
      Object.entries(reducers).map(([name, { argsType }]) => [name, (args: Row) => {
        const writer = new BinaryWriter(1024);
        argsType.serialize(writer, args);
        conn.callReducer(name, writer.getBuffer(), flags[name] ?? 'FullUpdate');
      }]),
    ),
    setReducerFlagsConstructor: () => ({}),
  };
}

export const oldest: Library = {
  name: 'the library of 1.3',
  connect(spec, peer, database, options): Promise<Connection> {
    const module = remoteModule(spec);
    return new Promise((resolve, reject) => {
      const builder = new DbConnectionBuilder(module as never, (conn: DbConnectionImpl) => conn)
        .withUri((options.peer ?? peer).url.replace('http', 'ws'))
        .withModuleName(database)
        .withToken(options.token)
        .withCompression(options.compression ?? 'none')
        .withLightMode(options.light ?? false)
        .onConnectError((_ctx: unknown, error: Error) => reject(error))
        .onConnect((conn: DbConnectionImpl, identity, token) => resolve({
          identity: identity.toHexString(),
          connection: conn.connectionId.toHexString(),
          token,
          table: name => conn.db[name] as Table,
          call: (reducer, args = {}) => conn.reducers[reducer](args),
          callQuietly: reducer => (conn.setReducerFlags[reducer] = 'NoSuccessNotify'),
          onCall: (reducer, callback) => conn.onReducer(reducer, (ctx: any) => callback(ctx.event)),
          builder: () => conn.subscriptionBuilder() as never,
          disconnect: () => conn.disconnect(),
        }));
      builder.build();
    });
  },
};
