"""Breaks one rule of the source at a time and expects a test to find out: a check that never fails proves nothing. The
schedules are that test, but for what needs a rarer meeting than 300 of them hold.

    mutants.py [NAME…]      all of them, or those named

A mutant is bound to a mark in the source, `// mutant: <mark>`, wherever that stands: it changes a few words of what follows
the mark, however they are wrapped. Words that are not there fail the run before anything is changed.

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
#: How far behind its mark a mutant's words may stand, in characters.
REACH = 1000


@dataclass(frozen=True)
class Mutant:
    """One rule, broken: the first `old` behind the mark becomes `new`."""

    name: str
    mark: str
    old: str
    new: str
    #: The test that must fail: the target, and the beginning of its name.
    target: str = "chaos"
    test: str = "the_invariants_hold"


MUTANTS = (
    Mutant("drop the final guard", "final-guard", "if status.is_final()", "if self.version == 0"),
    Mutant(
        "set notified_status before the PATCH",
        "tell-then-record",
        "match deliver(ctx, genesys, &payment, &notice).await",
        "match async { let _ = ctx.store.end_notice(&payment, turn, Some(&notice)).await; deliver(ctx, genesys, &payment, &notice).await }.await",
    ),
    Mutant("order by arrival", "event-order", "if seen.as_of.from", "if !same || seen.as_of.from"),
    Mutant("forget the pointer's condition", "one-owner", "Some(\"attribute_not_exists(pk)\")", "None"),
    Mutant("forget the version", "version", "\"{} = {before}\"", "\"{} >= {before} OR {0} < {before}\""),
    Mutant(
        "forget the turn to tell Genesys",
        "notice-turn",
        "(attribute_not_exists({since})",
        "(attribute_exists(pk) OR attribute_not_exists({since})",
        "it",
        "simultaneous_deliveries_of_one_event_tell_genesys_once",
    ),
    Mutant(
        "a key of its own for each request",
        "one-key",
        "let key =",
        "let mut unlike = correlation.clone(); unlike.attempt += u32::try_from(ctx.clock.now().0 % 1000).unwrap_or_default() * 1000; let correlation = &unlike; let key =",
    ),
    Mutant(
        "post again after the key's window",
        "key-window",
        "20 * 3600",
        "2000 * 3600",
        "it",
        "a_record_too_old_to_be_posted_again_is_looked_up_or_given_up",
    ),
    Mutant(
        "trust times that lie ahead",
        "future-times",
        "\"({name} BETWEEN {from} AND {until})\"",
        "\"({name} >= {from} AND {until} = {until})\"",
        "it",
        "a_turn_taken_by_a_clock_set_forward",
    ),
    Mutant(
        "keep notified_status while another is told",
        "forget-notified",
        "matches!(due, DueNotice::State(_))",
        "matches!(due, DueNotice::Moved(_))",
        "it",
        "a_status_that_comes_back_is_told_again_though_the_other_s_telling_was_lost",
    ),
    Mutant(
        "believe another account's event",
        "own-account",
        "if is_other_account",
        "if is_other_account && id.is_empty()",
        "it",
        "a_connected_account_s_event_is_ignored_and_counted",
    ),
    Mutant(
        "adopt an intent as the event shows it",
        "owned",
        "is_owned",
        "is_owned || seen.event_id.is_some()",
        "it",
        "an_intent_that_our_own_key_does_not_see_confirms_nothing",
    ),
    Mutant(
        "take a part for the whole though capture is automatic",
        "whole-amount",
        "=> asked",
        "=> 1",
        "it",
        "less_received_than_asked_for_is_a_disagreement",
    ),
    Mutant("forget how much was received", "received", "intent.amount_received", "0"),
    Mutant(
        "end a kept attempt by what search does not find",
        "search-lag",
        "payment.search_has_caught_up(now)",
        "now.0 > 0",
        "it",
        "an_intent_behind_a_kept_failure_is_adopted_though_search_lags_or_is_not_there",
    ),
    Mutant(
        "end a kept attempt by a list that was not read to its end",
        "list-end",
        "page.next_after.is_none()",
        "page.next_after.is_none() || after.is_some()",
        "it",
        "an_account_with_more_intents_than_are_read_leaves_the_attempt_open",
    ),
    Mutant(
        "take a kept failure for an outage",
        "kept-failure",
        "StripeError::KeptFailure",
        "StripeError::Unavailable",
        "it",
        "a_failure_that_stripe_keeps_under_the_key_ends_the_attempt",
    ),
    Mutant(
        "take the first that search finds",
        "exact-match",
        "named == correlation",
        "named.attempt == correlation.attempt",
        "it",
        "a_search_that_also_finds_other_orders_intents_gives_the_exact_one",
    ),
    Mutant(
        "take a replayed charge for where the intent stands",
        "replayed",
        "!reply.replayed",
        "!reply.replayed || payment.version > 0",
        "it",
        "a_token_that_was_declined_before_is_not_answered_declined_while_another_is_at_work",
    ),
    Mutant(
        "send a token whatever the status",
        "payable-token",
        "payment.is_payable()",
        "payment.version > 0",
        "it",
        "a_token_for_an_order_that_is_paid_at_work_or_authorized_is_not_sent_to_stripe",
    ),
    Mutant(
        "wait as long as Stripe says though the budget does not hold it",
        "retry-fits",
        "delay + RETRY_NEEDS",
        "RETRY_NEEDS",
        "it",
        "a_wait_that_stripe_asks_for_but_the_budget_does_not_hold_is_answered_at_once",
    ),
    Mutant(
        "keep a key that is refused with 403",
        "refused-key",
        "401 | 403",
        "401",
        "it",
        "a_key_that_is_refused_with_401_or_403_is_read_afresh",
    ),
    Mutant(
        "take a creation's answer for where the intent stands",
        "created-as-of",
        "created.seen.as_of = AsOf::second(created.seen.intent.created)",
        "created.seen.as_of.from = created.seen.as_of.from.max(created.seen.intent.created)",
        "it",
        "the_replayed_answer_to_a_creation_is_no_newer_than_the_intent",
    ),
    Mutant(
        "let a waiting page ask Stripe each time",
        "stale",
        "STALE_AFTER",
        "Duration::ZERO",
        "it",
        "the_page_of_a_payment_at_work_asks_stripe_like_a_status_query",
    ),
    Mutant(
        "take an event before Genesys was told",
        "told-first",
        ".await?",
        ".await",
        "it",
        "genesys_down_keeps_the_state_and_stripe_s_retry_tells_it",
    ),
    Mutant(
        "end the attempt where Stripe refuses the receipt's address",
        "receipt-refused",
        "receipt_email.is_some()",
        "receipt_email.is_none()",
        "it",
        "an_address_that_stripe_refuses_costs_the_receipt_and_not_the_payment",
    ),
    Mutant(
        "go on without the receipt under a second key though the first is not spent",
        "receipt-key",
        "payment, kept)",
        "payment, kept || receipt_refused)",
        "it",
        "a_request_with_the_address_that_arrives_late_makes_no_second_intent",
    ),
    Mutant(
        "go on without the receipt under the first key though it is spent",
        "receipt-key",
        "payment, kept)",
        "payment, kept && attempt == 0)",
        "it",
        "a_creator_that_dies_anywhere_while_the_receipt_is_refused_is_finished_by_the_next_try",
    ),
    Mutant(
        "leave a twin that still has the receipt's address at a loss",
        "receipt-dropped",
        "current.version != payment.version",
        "current.version == 0",
        "it",
        "a_twin_that_still_has_the_address_makes_no_second_intent",
    ),
    Mutant(
        "charge whatever attempt there is by now",
        "own-attempt",
        "payment.correlation.attempt == attempt",
        "attempt > 0",
        "chaos",
        "a_token_is_not_charged_on_an_attempt_that_has_replaced_its_own",
    ),
    Mutant(
        "cancel whatever attempt there is by now",
        "cancel-own",
        "payment.correlation.attempt == attempt",
        "attempt > 0",
        "chaos",
        "a_request_to_cancel_leaves_an_attempt_alone_that_was_begun_meanwhile",
    ),
    Mutant(
        "cancel the record alone",
        "cancel-at-stripe",
        "let canceled =",
        "let mut canceled = payment.clone(); canceled.version += 1; if let crate::domain::payment::Stage::Known(known) = &mut canceled.stage { known.status = crate::domain::observation::StripeStatus::Canceled; } if let crate::usecases::ctx::Written::Yes(canceled) = ctx.save(&payment, canceled).await? { return Ok(Ended::Canceled(canceled)); } let canceled =",
    ),
    Mutant(
        "cancel what is being made without making its intent known",
        "cancel-known",
        "PaymentStatus::Creating {",
        "PaymentStatus::Creating { if attempt > 0 { let next = payment.rejected(\"attempt_expired\", ctx.now()); return match ctx.save(&payment, next.unwrap_or(payment.clone())).await? { crate::usecases::ctx::Written::Yes(payment) | crate::usecases::ctx::Written::Lost(payment) => Ok(Ended::Canceled(payment)) }; }",
    ),
    Mutant(
        "open whatever attempt there is by now",
        "link-own",
        "payment.correlation != *made_for",
        "payment.correlation.order_id != made_for.order_id",
    ),
    Mutant(
        "open by what the record said before",
        "link-settled",
        "let payment = match settle(ctx, payment, reply.seen).await? { Settled::Moved(payment) | Settled::Kept(payment, _) => payment,",
        "let before = payment.clone(); let payment = match settle(ctx, payment, reply.seen).await? { Settled::Moved(_) | Settled::Kept(..) => before,",
    ),
    Mutant("open an expired link", "link-expired", "payment.is_payable()", "payment.version == 0"),
    Mutant(
        "take an opening for that of whatever attempt there is by now",
        "visit-own",
        "payment.correlation == *made_for",
        "payment.correlation.attempt > 0",
        "chaos",
        "a_link_opened_while_its_attempt_is_replaced_leaves_the_new_attempt_unopened",
    ),
    Mutant(
        "write an opening down without a new version",
        "visit-version",
        "version: self.version + 1",
        "version: self.version",
    ),
    Mutant(
        "tell again and again that a link was opened",
        "told-once",
        "(self.notified.as_ref() != Some(&notice))",
        "(self.notified.as_ref() != Some(&notice) || notice.visited)",
        "it",
        "the_agent_sees_that_the_link_was_opened_and_then_what_became_of_it_each_once",
    ),
    Mutant(
        "take a transaction that met another for a lost race",
        "conflict-again",
        "reasons.contains(&CONFLICT)",
        "reasons.contains(&\"no such reason\")",
        "it",
        "a_write_that_meets_a_transaction_is_sent_again_and_is_a_lost_race_in_the_end",
    ),
    Mutant(
        "leave a former holder untold that held the payment before",
        "moved-due",
        "self.moved_told = None;",
        "",
        "it",
        "a_second_call_for_the_same_order_gets_the_same_intent_and_the_first_hears_once_that_it_moved",
    ),
    Mutant(
        "tell the former holder again and again",
        "moved-once",
        "self.moved_told.as_ref() != Some(&former)",
        "self.version > 0",
        "it",
        "a_second_call_for_the_same_order_gets_the_same_intent_and_the_first_hears_once_that_it_moved",
    ),
    Mutant(
        "find an order by its conversation, too",
        "merchant-key",
        "item_key(order, \"PAYMENT\".to_owned())",
        "item_key(conversation_pk(key.conversation_id()), order)",
        "it",
        "a_second_call_for_the_same_order_gets_the_same_intent_and_the_first_hears_once_that_it_moved",
    ),
    Mutant(
        "let a paid record expire like any other",
        "paid-for-good",
        "self.config.paid_record_days",
        "self.config.record_days",
        "it",
        "a_paid_record_is_kept_for_years_and_an_unpaid_one_is_not",
    ),
    Mutant(
        "take another stack's event for one of ours",
        "own-uid",
        "correlation.payment_uid != payment.correlation.payment_uid",
        "correlation.order_id != payment.correlation.order_id",
        "it",
        "two_stacks_on_one_account_with_the_same_order_ids_never_touch_each_other",
    ),
    Mutant(
        "take a link to a record that has expired for one to the next",
        "link-uid",
        "found.correlation.payment_uid == link.correlation.payment_uid",
        "found.version > 0",
        "it",
        "a_link_whose_record_is_gone_is_unknown",
    ),
    Mutant(
        "let a payer try a hundred cards",
        "decline-cap",
        "10",
        "100",
        "it",
        "the_tenth_declined_try_ends_the_attempt_and_a_repeated_event_counts_once",
    ),
    Mutant(
        "release an authorization for another amount",
        "authorization-wins",
        "self.reason == EndReason::Canceled",
        "self.since.0 > 0",
        "it",
        "an_authorization_wins_against_replace_and_is_released_by_a_cancellation_alone",
    ),
    Mutant(
        "end an attempt without recording how its intent stands",
        "end-fetched",
        "apply(ctx, payment, seen).await?",
        "{ let _ = seen; payment }",
        "it",
        "an_authorization_wins_against_replace_and_is_released_by_a_cancellation_alone",
    ),
    Mutant(
        "keep the end of a payment that was faster",
        "end-lifted",
        ".filter(|ending| ending.stands(status))",
        ".filter(|_| status != PaymentStatus::Creating)",
        "it",
        "a_payment_that_wins_against_replace_is_answered_order_changed",
    ),
    Mutant(
        "leave a placement behind for a request that is refused",
        "place-on-ending",
        "!next.is_ending()",
        "next.version > 0",
        "it",
        "a_request_that_is_refused_leaves_neither_holder_nor_newest_order",
    ),
    Mutant(
        "place whoever holds the payment by now",
        "place-holder",
        "(\"holder_conversation_id\", text(placement.conversation_id.to_string()),)",
        "(\"payment_uid\", text(payment.correlation.payment_uid.to_string()))",
    ),
    Mutant(
        "hand out a link to whatever the payment is by now",
        "place-status",
        "(\"status\", text(payment.status().to_string()))",
        "(\"payment_uid\", text(payment.correlation.payment_uid.to_string()))",
        "chaos",
        "a_link_is_not_handed_out_to_what_was_paid_meanwhile",
    ),
    Mutant(
        "hand out a link to what is to end",
        "place-ending",
        "format!(\" AND attribute_not_exists({ending})\")",
        "{ check.names.remove(\"#ending_reason\"); let _ = ending; String::new() }",
        "chaos",
        "a_link_is_not_handed_out_to_what_is_to_end_by_now",
    ),
    Mutant(
        "cancel at the bank whoever asks",
        "cancel-force",
        "force || payment.holder == *key.conversation_id()",
        "force || payment.version > 0",
        "it",
        "a_payer_at_the_bank_is_left_alone_by_replace_and_by_another_call_s_cancel",
    ),
    Mutant(
        "take back the end of a tenth declined try",
        "cap-waits",
        "Self::GiveWay | Self::Wait => Self::of(reason)",
        "other => { let _ = reason; other }",
        "it",
        "a_payer_at_the_bank_keeps_the_tenth_declined_try_waiting_ten_minutes_once",
    ),
    Mutant(
        "count no declined try that the record has heard of otherwise",
        "old-declines",
        "self.decline_counted(seen).map(Box::new)",
        "None::<Box<Self>>",
        "it",
        "a_declined_try_counts_though_the_record_knows_something_newer_or_of_the_same_second",
    ),
    Mutant(
        "leave an order blocked whose attempt got too old",
        "old-freed",
        "Some(ATTEMPT_EXPIRED)",
        "Some(\"no such reason\")",
        "it",
        "a_record_too_old_to_be_posted_again_is_looked_up_or_given_up",
    ),
    Mutant(
        "keep an order blocked whose intent was canceled with another amount",
        "canceled-amount",
        "intent.status == StripeStatus::Canceled && intent.amount_received == 0",
        "intent.status == StripeStatus::Canceled && self.version == 0",
        "it",
        "an_order_is_free_once_its_intent_of_another_amount_was_canceled_unpaid",
    ),
    Mutant(
        "open what is to end",
        "link-ending",
        "payment.is_ending()",
        "payment.version == 0",
        "it",
        "an_attempt_that_is_being_ended_gives_no_session",
    ),
    Mutant(
        "replace a payment by its own amount",
        "replace-equal",
        "payment.money != *money",
        "payment.money != *money || request.replace",
        "it",
        "replace_ends_the_open_attempt_and_begins_one_with_the_new_amount_however_often_it_is_asked",
    ),
    Mutant("store a link's token", "link-digest", "token.sha256()", "token.to_fragment()"),
    Mutant(
        "log a link's token",
        "link-unlogged",
        "if !is_placed {",
        "tracing::debug!(token = placement.link.as_ref().map(|new| new.token.to_fragment()), \"pay link made\"); if !is_placed {",
    ),
    Mutant(
        "give the turn back though an update may still arrive",
        "late-update",
        "!error.may_still_act()",
        "!error.may_still_act() || turn.0 > 0",
        "chaos",
        "an_older_status_that_arrives_late_does_not_overtake_a_newer_one",
    ),
    Mutant(
        "keep the turn for what was only read",
        "reads-end",
        "to.is_write()",
        "to.is_write() || !to.is_write()",
        "it",
        "a_read_that_stays_unanswered_gives_the_turn_back_at_once",
    ),
    Mutant(
        "leave no time to give the turn back",
        "time-to-record",
        "RECORDING",
        "RECORDING * 0",
        "it",
        "a_genesys_that_hangs_keeps_neither_the_payer_nor_a_poll_waiting_and_no_turn",
    ),
    Mutant(
        "tell Genesys nothing again that was refused a connection",
        "no-connection",
        "Some((\"no connection\", RETRY_DELAY))",
        "None",
        "it",
        "a_request_that_was_refused_a_connection_is_sent_once_more",
    ),
    Mutant(
        "repeat an update that may still arrive",
        "no-repeat",
        "!asked.is_write()",
        "asked != GenesysRequest::Workflow",
        "it",
        "an_update_that_may_still_arrive_is_not_repeated_and_keeps_the_turn",
    ),
    Mutant(
        "repeat the start of a workflow",
        "workflow-once",
        "if asked != GenesysRequest::Workflow",
        "",
        "it",
        "a_workflow_that_may_have_been_started_is_not_started_again_at_once",
    ),
    Mutant(
        "take a gateway's word for the end of an update",
        "gateway",
        "matches!(answer.status, 502 | 504)",
        "answer.status == 0",
        "it",
        "an_update_that_may_still_arrive_is_not_repeated_and_keeps_the_turn",
    ),
    Mutant(
        "let one request that hangs take all the time",
        "try-limit",
        "let limit = if asked.is_write() { WRITE_LIMIT } else { READ_LIMIT };",
        "let limit = WRITE_LIMIT + READ_LIMIT * 2;",
        "it",
        "a_read_of_genesys_that_hangs_leaves_time_for_the_rest_and_gives_the_turn_back",
    ),
    Mutant(
        "believe how long a token lives",
        "longest",
        ".min(LONGEST)",
        "",
        "it",
        "no_word_of_genesys_on_how_long_a_token_lives_stops_the_function",
    ),
    Mutant(
        "follow a redirect",
        "no-redirect",
        "Policy::none()",
        "Policy::limited(3)",
        "it",
        "a_redirect_is_not_followed_and_whom_it_names_sees_nothing",
    ),
    Mutant(
        "read no client afresh that is called invalid with 400",
        "invalid-client",
        "400 | 401 | 403",
        "401 | 403",
        "it",
        "a_client_that_genesys_calls_invalid_with_400_is_read_afresh",
    ),
    Mutant(
        "tell the late workflow an amount in minor units",
        "workflow-amount",
        "payment.money.major()",
        "payment.money.amount_minor.to_string()",
        "it",
        "the_late_workflow_gets_these_six_inputs_and_no_more",
    ),
    Mutant(
        "refresh no record while the clock is behind",
        "stale",
        "apart(looked_at)",
        "since(looked_at)",
        "it",
        "a_clock_set_back_by_an_hour_does_not_stop_the_refreshes",
    ),
    Mutant(
        "claim a refresh without a deadline",
        "claim-deadline",
        "tokio::time::timeout_at(until, claiming).await",
        "Ok::<_, tokio::time::error::Elapsed>(claiming.await)",
        "it",
        "a_table_that_reads_and_then_hangs_on_the_refresh_gives_the_record_in_time",
    ),
    Mutant(
        "tell Genesys without a deadline while the payer waits",
        "notify-deadline",
        "tokio::time::timeout_at(ctx.deadline.instant(), notifying).await",
        "Ok::<_, tokio::time::error::Elapsed>(notifying.await)",
        "it",
        "a_table_that_hangs_on_the_turn_to_tell_genesys_keeps_nobody_waiting",
    ),
    Mutant(
        "say what came in a function error",
        "error-text",
        "self.expected",
        "self.detail()",
        "it",
        "nothing_private_of_a_request_leaves_the_process",
    ),
    Mutant(
        "log the text of a panic",
        "panic-text",
        "\"panicked\"",
        "\"{panic}\"",
        "it",
        "nothing_private_of_a_request_leaves_the_process",
    ),
    Mutant(
        "leave a panic to the runtime, which answers with its text",
        "panic-caught",
        "caught(async { handle(request).await }).await?",
        "handle(request).await",
        "it",
        "nothing_private_of_a_request_leaves_the_process",
    ),
    Mutant(
        "log the amount that an order has",
        "error-amount",
        "the order exists with another amount or currency",
        "the order has {have}",
        "it",
        "nothing_private_of_a_request_leaves_the_process",
    ),
    Mutant(
        "drop a held secret that cannot be read afresh",
        "held-secret",
        "Ok(self.read(REFRESH_LIMIT).await.unwrap_or(held))",
        "self.read(REFRESH_LIMIT).await",
        "it",
        "a_secrets_manager_that_is_down_for_more_than_five_minutes_stops_no_function",
    ),
    Mutant(
        "wait for a fresher secret as long as it takes",
        "refresh-limit",
        "from_millis(500)",
        "from_millis(5000)",
        "it",
        "a_secrets_manager_that_hangs_costs_a_request_half_a_second",
    ),
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)


def write_back() -> None:
    """Gives every file that was left broken its own text again."""
    for kept in [path for path in KEPT.rglob("*") if path.is_file()]:
        (ROOT / kept.relative_to(KEPT)).write_text(kept.read_text())
        kept.unlink()


def place(mutant: Mutant) -> tuple[Path, int, int]:
    """The file, and from where to where the words stand that the mutant changes."""
    mark = re.compile(rf"// mutant: {mutant.mark}\n")
    sources = [path for folder in ("shared/src", "functions") for path in sorted((ROOT / folder).rglob("*.rs"))]
    found = [(path, match.end()) for path in sources for match in mark.finditer(path.read_text())]
    if len(found) != 1:
        raise SystemExit(f"{mutant.name}: the mark {mutant.mark!r} must stand in the source once; it does {len(found)} times")
    [(path, begin)] = found
    words = re.compile(r"\s*".join(re.escape(word) for word in re.findall(r"\w+|[^\w\s]", mutant.old)))
    match = words.search(path.read_text(), begin, begin + REACH)
    if not match:
        raise SystemExit(f"{mutant.name}: {mutant.old!r} must follow the mark {mutant.mark!r} in {path.relative_to(ROOT)}")
    return path, match.start(), match.end()


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """The mutant in place of the source, until the end of the block."""
    path, begin, end = place(mutant)
    source = path.read_text()
    kept = KEPT / path.relative_to(ROOT)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(source)
    try:
        path.write_text(source[:begin] + mutant.new + source[end:])
        yield
    finally:
        write_back()


def try_out(mutant: Mutant) -> str | None:
    """What is wrong, or nothing when the test found the mutant out."""
    with broken(mutant):
        target, name = mutant.target, mutant.test
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
    for mutant in wanted:
        place(mutant)
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
