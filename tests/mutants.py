"""Breaks one rule of the source at a time and wants a test to find out: a check that never fails proves nothing. The
schedules are that test, but for what needs a rarer meeting than 300 of them hold.

    mutants.py [NAME…]      all of them, or those named

The file is changed where it is and written back afterwards, whatever interrupts it. Its own text is kept under
`.local/mutants` meanwhile; should even that end be cut off, the next start writes it back.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".local" / "mutants"


@dataclass(frozen=True)
class Mutant:
    """One rule, broken: `old`, which is in `file` once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str
    #: The test that must fail.
    test: tuple[str, str] = ("chaos", "the_invariants_hold")


MUTANTS = (
    Mutant(
        "drop the final guard",
        "shared/src/payment.rs",
        "        if self.status.is_final() {\n            let same",
        "        if self.version == 0 {\n            let same",
    ),
    Mutant(
        "set notified_status before the PATCH",
        "shared/src/notify.rs",
        "            Some(turn) => match tell(genesys, &payment, &notice, tell_by).await {\n"
        "                Ok(how) => {\n"
        "                    if let Some(current) = store.end_notice(&payment, turn, Some(&notice)).await? {\n",
        "            Some(turn) => match async {\n"
        "                let _ = store.end_notice(&payment, turn, Some(&notice)).await;\n"
        "                tell(genesys, &payment, &notice, tell_by).await\n"
        "            }.await {\n"
        "                Ok(how) => {\n"
        "                    if let Some(current) = Some(payment.clone()) {\n",
    ),
    Mutant(
        "order by arrival",
        "shared/src/payment.rs",
        "Source::Event if seen.as_of.from > known.until => Order::Newer,",
        "Source::Event if !same || seen.as_of.from > known.until => Order::Newer,",
    ),
    Mutant(
        "forget the pointer's condition",
        "shared/src/adapters/dynamodb.rs",
        '            .set_item(Some(item))\n            .condition_expression("attribute_not_exists(pk)")\n            .build();',
        "            .set_item(Some(item))\n            .build();",
    ),
    Mutant(
        "forget the version",
        "shared/src/adapters/dynamodb.rs",
        'update.condition = format!("{} = {before}", update.name("version"));',
        'update.condition = format!("{} >= {before} OR {0} < {before}", update.name("version"));',
    ),
    Mutant(
        "forget the turn to tell Genesys",
        "shared/src/adapters/dynamodb.rs",
        "AND (attribute_not_exists({since})",
        "AND (attribute_exists(pk) OR attribute_not_exists({since})",
        ("it", "simultaneous_deliveries_of_one_event_tell_genesys_once"),
    ),
    Mutant(
        "a key of its own for each request",
        "shared/src/create.rs",
        "let new = NewIntent { correlation: &payment.correlation,",
        "let mut unlike = payment.correlation.clone();\n"
        "        unlike.attempt += u32::try_from(clock.now().0 % 1000).unwrap_or_default() * 1000;\n"
        "        let new = NewIntent { correlation: &unlike,",
    ),
    Mutant(
        "post again after the key's window",
        "shared/src/payment.rs",
        "pub const CREATE_WINDOW: Duration = Duration::from_secs(20 * 3600);",
        "pub const CREATE_WINDOW: Duration = Duration::from_secs(2000 * 3600);",
        ("it", "a_record_too_old_to_be_posted_again_is_looked_up_or_given_up"),
    ),
    Mutant(
        "trust times that lie ahead",
        "shared/src/adapters/dynamodb.rs",
        'format!("({name} BETWEEN {from} AND {until})")',
        'format!("({name} >= {from} AND {until} = {until})")',
        ("it", "a_turn_taken_by_a_clock_set_forward"),
    ),
    Mutant(
        "keep notified_status while another is told",
        "shared/src/adapters/dynamodb.rs",
        ", {version} {one} REMOVE {told}, {of}, {opened}\");",
        "\");\n        claim.names.retain(|_, name| !name.starts_with(\"notified\"));\n        let _ = (&told, &of, &opened);",
        ("it", "a_status_that_comes_back_is_told_again_though_the_other_s_telling_was_lost"),
    ),
    Mutant(
        "believe another account's event",
        "functions/stripe-webhook/src/lib.rs",
        "        if is_other_account_s {\n",
        "        if is_other_account_s && id.is_empty() {\n",
        ("it", "a_connected_account_s_event_is_ignored_and_counted"),
    ),
    Mutant(
        "adopt an intent as the event shows it",
        "shared/src/settle.rs",
        "let is_pointed_to = pointer.is_some();",
        "let is_pointed_to = pointer.is_some() || seen.event_id.is_some();",
        ("it", "an_intent_that_our_own_key_does_not_see_confirms_nothing"),
    ),
    Mutant(
        "take a part for the whole though capture is automatic",
        "shared/src/payment.rs",
        "(StripeStatus::Succeeded, CaptureMethod::Automatic) => asked,",
        "(StripeStatus::Succeeded, CaptureMethod::Automatic) => 1,",
        ("it", "less_received_than_asked_for_is_a_disagreement"),
    ),
    Mutant(
        "forget how much was received",
        "shared/src/payment.rs",
        "            amount_received: seen.intent.amount_received,\n",
        "            amount_received: 0,\n",
    ),
    Mutant(
        "end a kept attempt by what search does not find",
        "shared/src/adapters/stripe.rs",
        "Searched::Nothing if payment.search_has_caught_up(now) => return Ok(Lookup::Absent),",
        "Searched::Nothing if now.0 > 0 => return Ok(Lookup::Absent),",
        ("it", "an_intent_behind_a_kept_failure_is_adopted_though_search_lags_or_is_not_there"),
    ),
    Mutant(
        "end a kept attempt by a list that was not read to its end",
        "shared/src/adapters/stripe.rs",
        "            if page.next_after.is_none() {\n                return Ok(Searched::Nothing);",
        "            if page.next_after.is_none() || after.is_some() {\n                return Ok(Searched::Nothing);",
        ("it", "an_account_with_more_intents_than_are_read_leaves_the_attempt_open"),
    ),
    Mutant(
        "take a kept failure for an outage",
        "shared/src/adapters/stripe.rs",
        "424 | 500.. if is_replayed(answer) => StripeError::KeptFailure,",
        "424 | 500.. if is_replayed(answer) => StripeError::Unavailable,",
        ("it", "a_failure_that_stripe_keeps_under_the_key_ends_the_attempt"),
    ),
    Mutant(
        "take the first that search finds",
        "shared/src/adapters/stripe.rs",
        "page.found.iter().find(|(_, named)| named == correlation)",
        "page.found.iter().find(|(_, named)| named.attempt == correlation.attempt)",
        ("it", "a_search_that_also_finds_other_orders_intents_gives_the_exact_one"),
    ),
    Mutant(
        "take a replayed charge for where the intent stands",
        "shared/src/create.rs",
        "Ok(answer) if !answer.replayed => answer.seen,",
        "Ok(answer) if !answer.replayed || payment.version > 0 => answer.seen,",
        ("it", "a_token_that_was_declined_before_is_not_answered_declined_while_another_is_at_work"),
    ),
    Mutant(
        "send a token whatever the status",
        "shared/src/create.rs",
        "order.payment_method.as_ref().filter(|_| payment.is_payable())",
        "order.payment_method.as_ref().filter(|_| payment.version > 0)",
        ("it", "a_token_for_an_order_that_is_paid_at_work_or_authorized_is_not_sent_to_stripe"),
    ),
    Mutant(
        "wait as long as Stripe says though the budget does not hold it",
        "shared/src/adapters/stripe.rs",
        "        if !deadline.allows(delay + RETRY_NEEDS) {\n",
        "        if !deadline.allows(RETRY_NEEDS) {\n",
        ("it", "a_wait_that_stripe_asks_for_but_the_budget_does_not_hold_is_answered_at_once"),
    ),
    Mutant(
        "keep a key that is refused with 403",
        "shared/src/adapters/stripe.rs",
        "        if !matches!(answer.status, 401 | 403) {\n",
        "        if !matches!(answer.status, 401) {\n",
        ("it", "a_key_that_is_refused_with_401_or_403_is_read_afresh"),
    ),
    Mutant(
        "take a creation's answer for where the intent stands",
        "shared/src/adapters/stripe.rs",
        "created.seen.as_of = AsOf::second(created.seen.intent.created);",
        "created.seen.as_of.from = created.seen.as_of.from.max(created.seen.intent.created);",
        ("it", "the_replayed_answer_to_a_creation_is_no_newer_than_the_intent"),
    ),
    Mutant(
        "let a waiting page ask Stripe each time",
        "shared/src/query.rs",
        "    let stale = clock.now().apart(looked_at) >= STALE_AFTER;",
        "    let stale = clock.now().apart(looked_at) >= std::time::Duration::ZERO;",
        ("it", "the_page_of_a_payment_at_work_asks_stripe_like_a_status_query"),
    ),
    Mutant(
        "take an event before Genesys was told",
        "functions/stripe-webhook/src/lib.rs",
        "let _ = notify(&self.store, genesys, &self.clock, payment, deadline).await?;",
        "let _ = notify(&self.store, genesys, &self.clock, payment, deadline).await;",
        ("it", "genesys_down_keeps_the_state_and_stripe_s_retry_tells_it"),
    ),
    Mutant(
        "end the attempt where Stripe refuses the receipt's address",
        "shared/src/adapters/stripe.rs",
        "if terms.receipt_email.is_some() && (param",
        "if terms.receipt_email.is_none() && (param",
        ("it", "an_address_that_stripe_refuses_costs_the_receipt_and_not_the_payment"),
    ),
    Mutant(
        "go on without the receipt under a second key though the first is not spent",
        "shared/src/create.rs",
        "drop_receipt(store, clock, &payment, kept)",
        "drop_receipt(store, clock, &payment, kept || receipt_refused)",
        ("it", "a_request_with_the_address_that_arrives_late_makes_no_second_intent"),
    ),
    Mutant(
        "go on without the receipt under the first key though it is spent",
        "shared/src/create.rs",
        "drop_receipt(store, clock, &payment, kept)",
        "drop_receipt(store, clock, &payment, kept && payment.version == 0)",
        ("it", "a_creator_that_dies_anywhere_while_the_receipt_is_refused_is_finished_by_the_next_try"),
    ),
    Mutant(
        "leave a twin that still has the receipt's address at a loss",
        "shared/src/create.rs",
        "                    if current.version != payment.version {\n",
        "                    if current.version == 0 {\n",
        ("it", "a_twin_that_still_has_the_address_makes_no_second_intent"),
    ),
    Mutant(
        "charge whatever attempt there is by now",
        "shared/src/create.rs",
        "let own = |payment: Payment| match payment.correlation.attempt == attempt {",
        "let own = |payment: Payment| match attempt > 0 {",
        ("chaos", "a_token_is_not_charged_on_an_attempt_that_has_replaced_its_own"),
    ),
    Mutant(
        "cancel whatever attempt there is by now",
        "shared/src/cancel.rs",
        "|| payment.correlation.attempt != attempt;",
        "|| attempt == 0;",
        ("chaos", "a_request_to_cancel_leaves_an_attempt_alone_that_was_begun_meanwhile"),
    ),
    Mutant(
        "cancel the record alone",
        "shared/src/cancel.rs",
        "    let seen = match stripe.cancel_intent(",
        "    let next = Payment { version: payment.version + 1, status: PaymentStatus::Canceled, ..payment.clone() };\n"
        "    if store.save(&next).await? == Saved::Yes {\n"
        "        return Ok(Some(next));\n"
        "    }\n"
        "    let seen = match stripe.cancel_intent(",
    ),
    Mutant(
        "cancel what is being made without making its intent known",
        "shared/src/cancel.rs",
        "    if payment.status == PaymentStatus::Creating {\n",
        "    if payment.status == PaymentStatus::Creating {\n"
        "        if attempt > 0 {\n"
        "            return released(store, clock, payment).await.map(Some);\n"
        "        }\n",
    ),
    Mutant(
        "open whatever attempt there is by now",
        "shared/src/pay_link.rs",
        "payment.filter(|payment| payment.correlation == correlation);",
        "payment.filter(|payment| payment.correlation.order_id == correlation.order_id);",
    ),
    Mutant(
        "open by what the record said before",
        "shared/src/pay_link.rs",
        "    let payment = match settle(store, stripe, clock, payment, answer.seen, deadline).await? {\n"
        "        Settled::Moved(payment) | Settled::Kept(payment, _) => payment,\n",
        "    let before = payment.clone();\n"
        "    let payment = match settle(store, stripe, clock, payment, answer.seen, deadline).await? {\n"
        "        Settled::Moved(_) | Settled::Kept(..) => before,\n",
    ),
    Mutant(
        "open an expired link",
        "shared/src/pay_link.rs",
        "if time == Time::Over && payment.is_payable() {",
        "if time == Time::Over && payment.version == 0 {",
    ),
    Mutant(
        "take an opening for that of whatever attempt there is by now",
        "shared/src/pay_link.rs",
        "filter(|_| is_its_own)",
        "filter(|_| is_its_own || correlation.attempt > 0)",
        ("chaos", "a_link_opened_while_its_attempt_is_replaced_leaves_the_new_attempt_unopened"),
    ),
    Mutant(
        "write an opening down without a new version",
        "shared/src/payment.rs",
        "            version: self.version + 1,\n            opened_at: Some(now),",
        "            version: self.version,\n            opened_at: Some(now),",
    ),
    Mutant(
        "tell again and again that a link was opened",
        "shared/src/payment.rs",
        "(self.notified.as_ref() != Some(&notice)).then_some(notice)",
        "(self.notified.as_ref() != Some(&notice) || opened).then_some(notice)",
    ),
    Mutant(
        "hand out a link that was not written",
        "shared/src/adapters/dynamodb.rs",
        'Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(()),',
        "Err(error) if is_conflict(&error) => Ok(()),",
        ("chaos", "a_link_that_dynamodb_did_not_write_is_not_handed_out"),
    ),
    Mutant(
        "store a link's token",
        "shared/src/adapters/dynamodb.rs",
        'key(format!("LINK#{}", token.sha256()), "LINK".to_owned())',
        'key(format!("LINK#{}", token.in_url()), "LINK".to_owned())',
    ),
    Mutant(
        "log a link's token",
        "shared/src/create.rs",
        "    let link = new_link.filter(|_| is_payable).map(|new| new.token);\n",
        "    let link = new_link.filter(|_| is_payable).map(|new| new.token);\n"
        '    tracing::debug!(token = link.as_ref().map(|link| link.in_url()), "pay link made");\n',
    ),
    Mutant(
        "give the turn back though an update may still arrive",
        "shared/src/notify.rs",
        "if !error.may_still_act() {",
        "if !error.may_still_act() || turn.0 > 0 {",
        ("chaos", "an_older_status_that_arrives_late_does_not_overtake_a_newer_one"),
    ),
    Mutant(
        "keep the turn for what was only read",
        "shared/src/ports.rs",
        "Self::NoAnswer { to, .. } if to.is_write())",
        "Self::NoAnswer { to, .. } if to.is_write() || !to.is_write())",
        ("it", "a_read_that_stays_unanswered_gives_the_turn_back_at_once"),
    ),
    Mutant(
        "leave no time to give the turn back",
        "shared/src/notify.rs",
        "let tell_by = deadline.less(WRITE_DOWN);",
        "let tell_by = deadline.less(WRITE_DOWN * 0);",
        ("it", "a_genesys_that_hangs_keeps_neither_the_payer_nor_a_poll_waiting_and_no_turn"),
    ),
    Mutant(
        "tell Genesys nothing again that was refused a connection",
        "shared/src/adapters/genesys.rs",
        "Err(Unanswered::Connect) => return Some((\"no connection\", RETRY_DELAY)),",
        "Err(Unanswered::Connect) => return None,",
        ("it", "a_request_that_was_refused_a_connection_is_sent_once_more"),
    ),
    Mutant(
        "repeat an update that may still arrive",
        "shared/src/adapters/genesys.rs",
        "Err(Unanswered::Broken) if !asked.is_write() =>",
        "Err(Unanswered::Broken) if asked != GenesysRequest::Workflow =>",
        ("it", "an_update_that_may_still_arrive_is_not_repeated_and_keeps_the_turn"),
    ),
    Mutant(
        "repeat the start of a workflow",
        "shared/src/adapters/genesys.rs",
        "500 | 503 if asked != GenesysRequest::Workflow =>",
        "500 | 503 =>",
        ("it", "a_workflow_that_may_have_been_started_is_not_started_again_at_once"),
    ),
    Mutant(
        "take a gateway's word for the end of an update",
        "shared/src/adapters/genesys.rs",
        "Ok(answer) if asked.is_write() && matches!(answer.status, 502 | 504) => {",
        "Ok(answer) if asked.is_write() && answer.status == 0 => {",
        ("it", "an_update_that_may_still_arrive_is_not_repeated_and_keeps_the_turn"),
    ),
    Mutant(
        "let one request that hangs take all the time",
        "shared/src/adapters/genesys.rs",
        "let limit = if asked.is_write() { WRITE_LIMIT } else { READ_LIMIT };",
        "let limit = WRITE_LIMIT + READ_LIMIT * 2;",
        ("it", "a_read_of_genesys_that_hangs_leaves_time_for_the_rest_and_gives_the_turn_back"),
    ),
    Mutant(
        "believe how long a token lives",
        "shared/src/time.rs",
        "unwrap_or(u64::MAX)).min(LONGEST))",
        "unwrap_or(u64::MAX)))",
        ("it", "no_word_of_genesys_on_how_long_a_token_lives_stops_the_function"),
    ),
    Mutant(
        "follow a redirect",
        "shared/src/adapters/http.rs",
        ".redirect(Policy::none())",
        ".redirect(Policy::limited(3))",
        ("it", "a_redirect_is_not_followed_and_whom_it_names_sees_nothing"),
    ),
    Mutant(
        "read no client afresh that is called invalid with 400",
        "shared/src/adapters/genesys.rs",
        "status @ (400 | 401 | 403) =>",
        "status @ (401 | 403) =>",
        ("it", "a_client_that_genesys_calls_invalid_with_400_is_read_afresh"),
    ),
    Mutant(
        "tell the late workflow an amount in minor units",
        "shared/src/notify.rs",
        '("Flow.payment_amount", payment.money.major()),',
        '("Flow.payment_amount", payment.money.amount_minor.to_string()),',
        ("it", "the_late_workflow_gets_these_six_inputs_and_no_more"),
    ),
    Mutant(
        "refresh no record while the clock is behind",
        "shared/src/query.rs",
        "clock.now().apart(looked_at) >= STALE_AFTER",
        "clock.now().since(looked_at) >= STALE_AFTER",
        ("it", "a_clock_set_back_by_an_hour_does_not_stop_the_refreshes"),
    ),
    Mutant(
        "claim a refresh without a deadline",
        "shared/src/query.rs",
        "match tokio::time::timeout_at(refresh_by.instant(), claiming).await {",
        "match Ok::<_, tokio::time::error::Elapsed>(claiming.await) {",
        ("it", "a_table_that_reads_and_then_hangs_on_the_refresh_gives_the_record_in_time"),
    ),
    Mutant(
        "tell Genesys without a deadline while the payer waits",
        "shared/src/pay_link.rs",
        "match tokio::time::timeout_at(deadline.instant(), telling).await {",
        "match Ok::<_, tokio::time::error::Elapsed>(telling.await) {",
        ("it", "a_table_that_hangs_on_the_turn_to_tell_genesys_keeps_nobody_waiting"),
    ),
    Mutant(
        "say what came in a function error",
        "shared/src/api.rs",
        "FunctionError::new(code, self.expected)",
        "FunctionError::new(code, self.detail())",
        ("it", "nothing_private_of_a_request_leaves_the_process"),
    ),
    Mutant(
        "log the text of a panic",
        "shared/src/telemetry.rs",
        'tracing::error!(code = "panic", location, "panicked");',
        'tracing::error!(code = "panic", location, "{panic}");',
        ("it", "nothing_private_of_a_request_leaves_the_process"),
    ),
    Mutant(
        "leave a panic to the runtime, which answers with its text",
        "shared/src/entry.rs",
        "caught(async { handle(request).await }).await?",
        "handle(request).await",
        ("it", "nothing_private_of_a_request_leaves_the_process"),
    ),
    Mutant(
        "log the amount that an order has",
        "shared/src/create.rs",
        '#[error("the order stands with another amount or currency")]',
        '#[error("the order stands at {have}")]',
        ("it", "nothing_private_of_a_request_leaves_the_process"),
    ),
    Mutant(
        "drop a held secret that cannot be read afresh",
        "shared/src/secrets.rs",
        "Ok(self.read(REFRESH_LIMIT).await.unwrap_or(held))",
        "self.read(REFRESH_LIMIT).await",
        ("it", "a_secrets_manager_that_is_down_for_more_than_five_minutes_stops_no_function"),
    ),
    Mutant(
        "wait for a fresher secret as long as it takes",
        "shared/src/secrets.rs",
        "REFRESH_LIMIT: Duration = Duration::from_millis(500)",
        "REFRESH_LIMIT: Duration = Duration::from_millis(5000)",
        ("it", "a_secrets_manager_that_hangs_costs_a_request_half_a_second"),
    ),
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)


def write_back() -> None:
    """Gives every file that was left broken its own text again."""
    for kept in [path for path in KEPT.rglob("*") if path.is_file()]:
        (ROOT / kept.relative_to(KEPT)).write_text(kept.read_text())
        kept.unlink()


@contextmanager
def broken(mutant: Mutant, source: str) -> Iterator[None]:
    """The mutant in place of the source, until the end of the block."""
    kept = KEPT / mutant.file
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(source)
    try:
        (ROOT / mutant.file).write_text(source.replace(mutant.old, mutant.new))
        yield
    finally:
        write_back()


def try_out(mutant: Mutant) -> str | None:
    """What is wrong, or nothing when the test found the mutant out."""
    source = (ROOT / mutant.file).read_text()
    if source.count(mutant.old) != 1:
        return f"{mutant.file} has the text to replace {source.count(mutant.old)} times"
    with broken(mutant, source):
        target, name = mutant.test
        built = run("cargo", "build", "--locked", "--quiet", "--workspace", "--test", target)
        if built.returncode != 0:
            return f"it does not compile:\n{built.stderr[-2000:]}"
        tried = run("cargo", "test", "--locked", "--quiet", "--workspace", "--test", target, name)
    said = tried.stdout + tried.stderr
    if tried.returncode == 0 or "test result: FAILED" not in said:
        return f"it was not found out:\n{said[-2000:]}"
    found = re.search(r"(seed \d+) breaks what must hold: \[\s*(.*)", said)
    print(f"  {found[1]}: {found[2][:160]}" if found else f"  {name} failed")
    return None


def stop(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    write_back()
    wanted = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    wrong = 0
    for mutant in wanted:
        began = time.monotonic()
        print(mutant.name, flush=True)
        if problem := try_out(mutant):
            wrong += 1
            print(f"  WRONG: {problem}")
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(wanted) - wrong} of {len(wanted)} mutants found out")
    return 1 if wrong or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
