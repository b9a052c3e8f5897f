// What a program may do with the generated files, and what it may not. Compiled, never run.

import { ConnectionId, Identity, TimeDuration, Timestamp, Uuid, type ScheduleAt } from "spacetimedb";
import * as chat from "./chat";
import * as everything from "./everything";
import { Color, DrawingShape } from "./everything";
import * as recursive from "./recursive";
import * as version9 from "./version_9";

declare const room: chat.DbConnection;
declare const all: everything.DbConnection;
declare const trees: recursive.DbConnection;
declare const old: version9.DbConnection;

export function connect(): chat.DbConnection {
  return chat.DbConnection.builder()
    .withUri("ws://127.0.0.1:3000")
    .withDatabaseName("chat")
    .withToken(undefined)
    .onConnect((connection, identity: Identity, token: string) => {
      connection
        .subscriptionBuilder()
        .onApplied((ctx: chat.SubscriptionEventContext) => ctx.db.user.identity.find(identity))
        .onError((ctx: chat.ErrorContext) => ctx.event?.message)
        .subscribe([chat.tables.user, chat.tables.message.where(row => row.text.ne(token))]);
    })
    .onConnectError((_ctx, error: Error) => error.message)
    .onDisconnect((_ctx, error?: Error) => error?.message)
    .build();
}

export function rows(): void {
  const numbers = all.db.primitives.u64.find(3n)!;
  const small: number = numbers.i8 + numbers.u32 + numbers.f32 + numbers.f64;
  const large: bigint = numbers.i64 + numbers.u128 + numbers.i256;
  const bytes: Uint8Array = numbers.bytes;
  const signed: number[] = numbers.signedBytes;
  for (const found of [
    all.db.primitives.bool.find(true),
    all.db.primitives.i256.find(large),
    all.db.primitives.u16.find(small + bytes.length + signed.length),
    all.db.primitives.string.find("text"),
  ]) {
    const row: everything.Primitives | null = found;
    void row;
  }

  // A row is of the type that is named after its table.
  const row: everything.SpecialThings = all.db.specialThings.identity.find(new Identity(1n))!;
  const special: [Identity, ConnectionId, Timestamp, TimeDuration, Uuid, ScheduleAt] = [
    row.identity,
    row.connection,
    row.stamp,
    row.span,
    row.uuid,
    row.when,
  ];
  const text: string | undefined = row.maybeText;
  const outcome: { ok: everything.Point } | { err: string } = row.outcome;
  const deep: number = row.anonymous.deep.x;
  all.db.specialThings.bestColor.find(Color.DarkBlue);
  if (row.shape.tag === "Circle") {
    const radius: number = row.shape.value.radius + row.shape.value.center.posX;
    void radius;
  } else if (row.shape.tag === "Tagged" && row.shape.value.tag === "Number") {
    const number: bigint = row.shape.value.value;
    void number;
  }
  void [special, text, outcome, deep];
}

export function indexes(): void {
  for (const row of all.db.indexed.byParts.filter([1, "b"])) {
    const kind: everything.Color = row.kind;
    void kind;
  }
  all.db.indexed.kind.filter({ tag: "Red" });
  all.db.indexed.secondPart.filter("b");
  all.db.indexed.weight.filter(0.5);
  all.db.indexed.slot.find(3);
  all.db.indexed.fastSlot.find(3);
  all.db.keyedByColor.color.find({ tag: "Red" });
  old.db.userItem.ownerAndId.filter([new Identity(1n), 2n]);
  // @ts-expect-error not indexed
  all.db.indexed.firstPart;
}

export function callbacks(): void {
  room.db.user.onUpdate((ctx: chat.EventContext, before, now: chat.User) => {
    if (ctx.event.tag === "Reducer" && before.name !== now.name) {
      const name: string = ctx.event.value.reducer.name;
      void name;
    }
  });
  all.db.tick.onInsert((_ctx, row: everything.Tick) => row.seenAt.toDate());
  // Views are tables.
  all.db.nearBy2.onUpdate((_ctx, before: everything.Point, now: everything.Point) => [before, now]);
  all.db.asked.onInsert((_ctx, row: everything.Point) => row.posY);
  old.db.mine.iter();
  // @ts-expect-error private
  all.db.secret;
  // @ts-expect-error a private view
  all.db.hidden;
}

export async function calls(): Promise<void> {
  await room.reducers.transfer({ from: 1, to: 2, amount: 3n });
  await all.reducers.noArguments({});
  const circle: DrawingShape = DrawingShape.Circle({ center: { posX: 1, posY: 2 }, radius: 3 });
  await all.reducers.draw2Shapes({ firstShape: circle });
  await all.reducers.draw2Shapes({ firstShape: { tag: "Empty" }, secondShape: undefined });
  await all.reducers.report({ what: { err: "no" }, raw: new Uint8Array() });
  await all.reducers.unnamed({ _0: 1, _1: "b" });
  await all.reducers.wireName({});
  await old.reducers.addItem({ at: { posX: 1, posY: 2 }, itemKind2: 3 });
  const sum: bigint = await all.procedures.addUp({ numbers: [1n, 2n] });
  const point: everything.Point | undefined = await all.procedures.findPoint({});
  void [sum, point];
  // @ts-expect-error of another type
  await all.reducers.unnamed({ _0: "a", _1: "b" });
  // @ts-expect-error called by the database alone
  await all.reducers.hello({});
  // @ts-expect-error called by a schedule alone
  await all.reducers.ring({});
}

export function recursion(): void {
  const row: recursive.Grown = trees.db.grown.id.find(1)!;
  const name: string | undefined = row.theTree.children[0]?.firstChild?.parentName;
  const expression: recursive.Expression = recursive.Expression.Pair({
    left: [recursive.Expression.Nil],
    right: [recursive.Expression.Fallible({ err: "no" }), recursive.Expression.Literal(1n)],
  });
  if (row.expression.tag === "Block") {
    const by: Identity = row.expression.value.by;
    void by;
  }
  const kind: recursive.Type6 = { tag: "B", value: 3 };
  trees.reducers.plant({ tree: row.theTree, others: [{ trees: [row.theTree], kind, maybe: undefined }] });
  void [name, expression];
}
