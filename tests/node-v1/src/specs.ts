// Modules as the cases use them: tables with their columns in order, and reducers with their
// parameters. What a library wants to know of a module is made from this.

export type Type =
  | 'u8' | 'u32' | 'u64' | 'i64' | 'string' | 'bool' | 'identity' | 'timestamp' | 'unit'
  | { array: Type }
  | { option: Type }
  | { enum: Fields; name: string };

export type Fields = Record<string, Type>;

export interface TableSpec {
  columns: Fields;
  primary?: string;
}

export interface ModuleSpec {
  tables: Record<string, TableSpec>;
  reducers: Record<string, Fields>;
}

/** Built with the module library 2.10 (description V10). */
export const chat: ModuleSpec = {
  tables: {
    user: { columns: { identity: 'identity', name: 'string', connections: 'u32' }, primary: 'identity' },
    room: { columns: { id: 'u64', name: 'string', opened_by: 'identity' }, primary: 'id' },
    message: {
      columns: { id: 'u64', room: 'u64', sender: 'identity', sent: 'timestamp', text: 'string' },
      primary: 'id',
    },
    account: { columns: { id: 'u32', balance: 'i64' }, primary: 'id' },
  },
  reducers: {
    set_name: { name: 'string' },
    open_room: { name: 'string' },
    send_message: { room: 'string', text: 'string' },
    open_accounts: { count: 'u32' },
    transfer: { from: 'u32', to: 'u32', amount: 'i64' },
  },
};

/** Built with the module library 1.2 (description V9): names stand for themselves. */
export const ledger: ModuleSpec = {
  tables: {
    account: {
      columns: {
        id: 'u32', email: 'string', locker: 'u8', city: 'string', age: 'u8', balance: 'i64',
        standing: { name: 'Standing', enum: { Good: 'unit', Warned: 'string', Closed: 'timestamp' } },
        notes: { array: 'string' }, referrer: { option: 'identity' }, openedAt: 'timestamp',
      },
      primary: 'id',
    },
    throw: { columns: { round: 'u32', eyes: 'u8' } },
    caller: {
      columns: { identity: 'identity', database: 'identity', connected: 'bool', at: 'timestamp', times: 'u32' },
      primary: 'identity',
    },
  },
  reducers: {
    open: { email: 'string', locker: 'u8', city: 'string', age: 'u8', balance: 'i64' },
    pay: { from: 'string', locker: 'u8', amount: 'i64' },
    present: { city: 'string', low: 'u8', high: 'u8' },
    leave: { city: 'string' },
    close: { low: 'i64', high: 'i64', email: 'string' },
    throw_dice: { round: 'u32', count: 'u32' },
    take_back: { round: 'u32' },
    sign: {},
    fall: {},
  },
};
