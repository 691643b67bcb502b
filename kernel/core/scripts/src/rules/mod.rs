//! The rules as functions over a [`Machine`](crate::Machine), and
//! [`rule_tests!`](crate::rule_tests), which makes a test of each.

use wasm_engine_abi::calls::Status;
use wasm_engine_setup::Restart;

use crate::rig::SeenItem;

pub mod agents;
pub mod budget;
pub mod calls;
pub mod commands;
pub mod commit;
pub mod deliveries;
pub mod digests;
pub mod endings;
pub mod everything;
pub mod faults;
pub mod groups;
pub mod inference;
pub mod limits;
pub mod models;
pub mod open;
pub mod save_points;
pub mod schedule;
pub mod supervision;
pub mod task_graphs;
pub mod tasks;
pub mod time;

fn fresh(backoff_ticks: u64, restarts_max: u32, window_ticks: u64) -> Restart {
    Restart::Fresh { backoff_ticks, restarts_max, window_ticks }
}

/// The positive code under which the guest shows a refusal.
fn shown(status: Status) -> i32 {
    -(status as i32)
}

fn payloads(seen: &[SeenItem]) -> Vec<&[u8]> {
    seen.iter().map(|seen| seen.payload.as_slice()).collect()
}

/// Makes a test of every rule for the machine of this type: `mod time { #[test] fn t1_1_..() }`.
#[macro_export]
macro_rules! rule_tests {
    ($machine:ty) => {
        $crate::rule_tests! { $machine:
    time {
        #[test]
        fn t3_1_t3_2_what_opens_a_tick_comes_in_the_fixed_order();
        #[test]
        fn t2_2_t2_3_t4_2_t5_1_a_turn_sees_only_what_was_committed_before_and_the_rest_waits();
        #[test]
        fn t5_2_only_the_ticks_are_next_that_something_is_due_in();
        #[test]
        fn t5_4_a_dead_agents_timer_or_backoff_names_no_tick();
        #[test]
        fn t5_4_timers_of_incarnations_that_are_over_do_not_pile_up();
        #[test]
        fn t5_7_the_longest_timer_neither_ends_in_overflow_nor_holds_the_run();
        #[test]
        fn t8_1_t8_2_t8_3_t8_4_tick_0_takes_no_input_and_only_inits_in_configuration_order();
        #[test]
        fn l6_4_facts_that_cannot_be_those_of_the_next_tick_are_refused();
        #[test]
        fn l6_4_more_inputs_than_a_tick_admits_are_refused_not_fatal();
        #[test]
        fn t5_8_a_number_that_a_live_fact_chose_is_digested_and_checked();
    }
    open {
        #[test]
        fn t1_1_microsteps_are_numbered_from_1_in_each_tick();
        #[test]
        fn t1_2_what_is_counted_in_ticks_does_not_count_microsteps();
        #[test]
        fn t2_1_a_tick_is_an_open_its_microsteps_and_a_close();
        #[test]
        fn t3_3_what_comes_later_in_an_open_sees_what_came_before();
        #[test]
        fn t4_3_a_turn_with_as_many_items_and_effects_as_limits_allow_runs_on_any_lane();
        #[test]
        fn t4_1_who_takes_a_turn_with_what_is_fixed_before_any_turn_runs();
        #[test]
        fn t5_5_a_reply_names_its_tick_though_nobody_waits_for_it();
        #[test]
        fn t7_5_c2_6_an_input_goes_to_the_subscribers_in_order_under_the_topics_policy();
        #[test]
        fn t8_5_who_is_paused_or_ended_before_its_init_takes_no_turn_in_tick_0();
        #[test]
        fn t9_1_items_of_paused_agents_do_not_hold_a_run();
    }
    schedule {
        #[test]
        fn q1_3_an_agent_with_leftovers_comes_before_those_it_wakes();
        #[test]
        fn q1_2_q1_3_who_is_planned_without_leftovers_gets_the_position_of_what_wakes_it();
        #[test]
        fn q3_2_an_init_counts_with_all_its_calls();
        #[test]
        fn q1_4_q3_1_q3_2_who_does_not_fit_keeps_its_position_over_microsteps_and_ticks();
        #[test]
        fn q2_1_q2_2_q2_3_each_schedule_plans_in_its_order();
        #[test]
        fn q1_1_runnable_is_who_starts_has_items_or_stops_and_is_not_held_back();
        #[test]
        fn q1_2_q1_5_more_items_move_nobody_but_a_pause_costs_the_position();
    }
    agents {
        #[test]
        fn a4_1_a4_4_c1_2_lifecycle_calls_have_one_outcome_and_messages_one_only_if_refused();
        #[test]
        fn a4_7_a4_9_calls_are_busy_without_a_free_slot_and_slots_come_free_again();
        #[test]
        fn a4_9_c2_10_a_refused_membership_holds_a_pending_call_slot_too();
        #[test]
        fn a5_6_a7_1_a7_3_a_freed_slot_is_used_from_the_next_tick_with_a_new_generation();
        #[test]
        fn a5_5_no_slot_is_an_outcome();
        #[test]
        fn a5_3_a5_4_own_sequences_roll_back_with_a_faulted_turn_and_run_on_over_restarts();
        #[test]
        fn a5_2_a6_1_random_depends_on_seed_key_and_moment_alone();
    }
    calls {
        #[test]
        fn a1_1_a_turn_receives_at_most_receive_max_items();
        #[test]
        fn a2_2_a_full_inbox_refuses_no_answer();
        #[test]
        fn a3_2_a_call_answers_without_regard_to_others();
        #[test]
        fn a3_4_of_several_reasons_the_first_is_the_answer();
        #[test]
        fn a1_4_each_call_has_fuel_of_its_own();
        #[test]
        fn a4_3_a_timer_has_one_item_at_the_open_of_its_tick();
        #[test]
        fn a4_10_an_outcome_for_an_address_that_is_gone_is_a_dead_letter();
        #[test]
        fn a5_7_what_strangers_do_shows_in_no_item();
        #[test]
        fn a7_2_a_restart_keeps_the_address();
        #[test]
        fn a13_1_a_handle_is_the_position_in_the_configuration_for_everybody();
    }
    supervision {
        #[test]
        fn a7_3_a8_2_a8_6_never_means_the_end_and_the_faulted_turn_has_no_effect();
        #[test]
        fn a8_4_a8_5_a8_7_a8_8_a8_9_a9_2_a9_5_fresh_restarts_keep_mail_and_stop_at_the_limit();
        #[test]
        fn t5_6_a8_8_restarts_outside_the_window_do_not_count();
        #[test]
        fn a8_8_an_init_that_faults_is_supervised_too();
    }
    save_points {
        #[test]
        fn a8_17_a9_6_a9_7_a_restart_goes_back_to_the_save_point_and_says_so();
        #[test]
        fn a9_6_save_points_come_by_turns_or_by_the_call_and_never_from_a_fault();
        #[test]
        fn a8_17_a9_7_without_a_save_point_a_restart_is_fresh();
        #[test]
        fn a9_6_a3_2_who_does_not_restart_from_save_points_may_not_save();
        #[test]
        fn a9_7_what_the_old_incarnation_waited_for_is_dropped_and_mail_stays();
        #[test]
        fn a9_8_a_save_point_ends_with_its_agent();
        #[test]
        fn a8_12_a9_7_members_of_a_group_go_back_each_to_its_own();
    }
    groups {
        #[test]
        fn a8_10_a8_11_a8_12_a9_2_a9_3_a9_4_a_group_restarts_together_and_keeps_its_mail();
        #[test]
        fn a8_12_a8_13_a8_15_a10_6_a_group_counts_one_restart_for_all_and_ends_over_the_limit();
        #[test]
        fn a8_14_a8_16_a10_5_a_group_stops_its_members_in_every_phase_but_stopping();
        #[test]
        fn a8_16_spawned_agents_are_in_no_group();
        #[test]
        fn d5_3_the_state_of_an_agent_that_stopped_with_its_group_is_no_state();
    }
    endings {
        #[test]
        fn a9_3_a9_4_answers_timers_and_replies_of_the_old_incarnation_are_dropped();
        #[test]
        fn a1_3_a10_2_a10_3_a10_4_terminate_drops_mail_and_gives_one_last_turn();
        #[test]
        fn a10_4_a10_7_an_agent_can_end_itself_and_its_last_turn_may_fault();
        #[test]
        fn c1_4_a_fault_of_an_incarnation_that_pass_3_ended_is_counted_not_supervised();
        #[test]
        fn c1_4_a10_5_an_init_that_faults_while_it_is_ended_ends_once();
        #[test]
        fn a10_8_paused_agents_queue_and_their_timers_and_replies_wait();
        #[test]
        fn a9_1_subscriptions_and_memberships_outlive_a_restart();
        #[test]
        fn a10_1_a_terminated_agents_address_is_gone_at_once();
        #[test]
        fn a10_9_pausing_who_is_paused_and_resuming_who_is_not_change_nothing();
    }
    commit {
        #[test]
        fn c2_1_pass_1_sees_subscriptions_channels_and_addresses_as_before_the_microstep();
        #[test]
        fn c1_1_items_of_this_microstep_are_released_before_deliveries_are_judged();
        #[test]
        fn c2_3_c2_4_each_limit_refuses_with_its_own_status_and_counts_whole_charge_units();
        #[test]
        fn a4_5_a_publish_decides_each_receiver_alone_with_one_outcome();
        #[test]
        fn c3_1_a_child_takes_its_init_turn_in_the_next_microstep();
        #[test]
        fn c4_1_c4_2_c4_3_c4_4_c4_5_each_policy_decides_what_a_full_inbox_keeps();
        #[test]
        fn c4_6_c4_7_nothing_is_dropped_for_a_message_that_is_then_refused();
        #[test]
        fn c4_7_a_refused_message_leaves_the_queued_one_its_turn();
        #[test]
        fn c5_1_strangers_do_not_change_what_a_group_does();
    }
    limits {
        #[test]
        fn c2_4_q3_1_a3_7_a4_7_t2_2_every_limit_is_reached_on_every_lane_as_documented();
    }
    deliveries {
        #[test]
        fn c1_3_effects_apply_in_the_order_of_the_plan_then_of_the_calls();
        #[test]
        fn c2_2_an_earlier_delivery_leaves_no_room_for_a_later_one();
        #[test]
        fn c2_5_what_waits_stays_charged_wherever_its_bytes_lie();
        #[test]
        fn c2_6_receivers_are_taken_in_the_order_in_which_they_joined();
        #[test]
        fn c2_7_a_message_reaches_its_sender_if_it_is_a_member();
        #[test]
        fn c2_8_an_open_has_deliveries_of_its_own();
        #[test]
        fn c2_9_bytes_round_up_for_inboxes_and_down_for_turns_and_inputs();
        #[test]
        fn c4_8_messages_by_address_and_channel_are_refused_at_a_full_inbox();
        #[test]
        fn c2_11_each_receiver_tried_counts_and_beyond_the_limit_nobody_is();
        #[test]
        fn c2_11_a_search_for_room_counts_by_the_items_gone_through();
        #[test]
        fn c2_12_a_channel_is_its_name_and_an_item_says_by_which_join_it_came();
        #[test]
        fn c2_13_c4_6_a_topic_holds_no_more_than_its_quota_and_others_have_room();
    }
    digests {
        #[test]
        fn d3_1_d3_3_the_digest_shows_every_input_byte_and_the_setup();
        #[test]
        fn d3_1_d3_2_every_kind_of_event_enters_the_digest_of_its_tick();
        #[test]
        fn d3_1_d4_1_d5_1_a_known_run_has_known_digests();
        #[test]
        fn d4_1_digest_and_fuel_chain_are_functions_of_what_is_done();
        #[test]
        fn d1_2_where_a_payload_lies_never_shows();
        #[test]
        fn d1_1_d1_5_a_header_says_what_a_message_is_and_traces_go_from_cause_to_effect();
        #[test]
        fn d2_2_a_faulted_turn_has_no_effects_in_its_digest();
        #[test]
        fn d2_3_payloads_and_log_lines_enter_a_turn_digest_by_their_hash();
        #[test]
        fn d5_1_d5_2_d5_3_a_state_digest_is_due_by_ticks_and_holds_who_ran_and_lives();
    }
    inference {
        #[test]
        fn i1_1_i1_2_replies_come_at_t_plus_l_in_request_order_over_all_models();
        #[test]
        fn l6_4_missing_unexpected_and_swapped_replies_are_refused();
        #[test]
        fn a4_2_i1_3_i1_4_i3_1_a_full_kernel_and_a_failed_model_are_replies();
        #[test]
        fn i1_5_bytes_of_a_request_count_until_its_reply_is_due();
        #[test]
        fn a1_4_i1_6_requests_have_a_quota_of_their_own_and_a_list_is_bounded_by_its_model();
        #[test]
        fn i1_7_room_for_a_reply_is_reserved_until_it_was_received();
        #[test]
        fn i3_3_what_a_request_is_not_is_said_by_its_reply();
    }
    models {
        #[test]
        fn a13_3_i3_7_a_model_is_asked_from_the_outcome_of_its_load_on();
        #[test]
        fn a13_3_a_load_that_fails_leaves_the_model_out_and_is_tried_again();
        #[test]
        fn i3_8_room_is_made_in_the_order_of_the_last_requests();
        #[test]
        fn i3_8_nothing_is_unloaded_for_a_load_that_has_no_room_even_so();
        #[test]
        fn i3_4_what_was_accepted_before_is_answered();
        #[test]
        fn a13_5_a_name_means_the_version_that_it_was_swapped_to();
        #[test]
        fn a13_5_only_a_loaded_version_that_is_asked_alike_takes_a_name();
        #[test]
        fn l6_4_outcomes_of_loads_that_cannot_be_are_refused();
        #[test]
        fn i5_5_a_change_of_provider_comes_between_loads_and_commands();
    }
    budget {
        #[test]
        fn t2_4_as_many_turns_are_taken_as_the_budget_has_and_the_rest_is_carried_over();
        #[test]
        fn t2_4_no_microstep_begins_once_the_fuel_is_used_up();
        #[test]
        fn t2_4_each_tick_has_a_budget_of_its_own_and_lanes_make_no_difference();
        #[test]
        fn t2_4_l6_4_budgets_that_cannot_be_are_refused();
    }
    commands {
        #[test]
        fn t3_2_t7_8_commands_come_after_loads_and_before_all_else();
        #[test]
        fn t7_8_each_command_has_one_outcome();
        #[test]
        fn a5_1_an_agent_of_the_host_has_a_key_of_its_own();
        #[test]
        fn l6_4_commands_that_cannot_be_are_refused();
    }
    faults {
        #[test]
        fn a8_1_a8_2_a_trap();
        #[test]
        fn a8_1_a8_2_an_endless_loop();
        #[test]
        fn a8_1_a8_2_endless_recursion();
        #[test]
        fn a1_5_a8_1_a8_2_a_negative_code_of_receive_or_step();
        #[test]
        fn a3_6_a8_1_a8_2_a_pointer_outside_the_memory();
        #[test]
        fn a1_7_c5_1_memory_that_grows_without_end_stops_at_its_limit();
        #[test]
        fn a3_7_a4_7_too_many_effects_and_bytes_are_refused_in_the_turn();
        #[test]
        fn a3_8_a8_1_who_does_not_stop_calling_runs_out_of_fuel();
        #[test]
        fn a13_2_unknown_names_and_handles_are_refused();
        #[test]
        fn c2_4_c5_1_who_sends_to_itself_for_ever_fills_its_own_inbox_only();
        #[test]
        fn a8_10_a8_12_a8_13_c5_1_a_group_that_stops_again_and_again_leaves_its_neighbours_alone();
        #[test]
        fn a8_1_c5_1_a_bad_inbox_is_a_fault_of_init();
        #[test]
        fn a2_3_what_is_longer_than_its_receivers_inbox_is_refused();
        #[test]
        fn a2_3_a_reply_that_its_inbox_cannot_hold_says_so();
        #[test]
        fn a2_3_what_came_before_the_init_said_how_long_becomes_dead_letters();
    }
    tasks {
        #[test]
        fn a12_1_a12_2_a_task_that_is_refused_says_why();
        #[test]
        fn a12_2_c2_3_payloads_of_tasks_count_against_what_the_kernel_holds();
        #[test]
        fn a12_3_a_task_is_ready_from_the_microstep_after_all_it_waits_for();
        #[test]
        fn a12_4_a_step_takes_the_first_by_priority_then_by_acceptance();
        #[test]
        fn a12_4_no_task_of_an_agent_starves();
        #[test]
        fn q2_4_q1_4_a_task_raises_its_agent_where_it_stands();
        #[test]
        fn q2_4_an_agent_in_the_queue_is_keyed_anew();
        #[test]
        fn a12_5_an_attempt_ends_by_code_or_fault_and_the_next_is_the_same_task();
        #[test]
        fn a12_6_a_task_may_be_named_when_it_has_ended_and_is_remembered();
        #[test]
        fn a12_7_what_waits_for_a_failure_is_cancelled_skipped_or_runs();
        #[test]
        fn a12_8_a_task_fails_with_its_agent_and_waits_through_its_backoff();
        #[test]
        fn a12_9_a2_3_a_task_that_its_agent_cannot_hold_fails();
        #[test]
        fn a12_10_a4_1_a4_7_who_schedules_has_one_outcome_and_a_slot_until_then();
        #[test]
        fn a12_11_a9_4_with_an_incarnation_its_tasks_are_cancelled_unheard();
        #[test]
        fn a12_11_a12_6_a_cancelled_task_waits_for_nothing_when_it_is_forgotten();
        #[test]
        fn a12_12_a8_4_a_fault_before_the_step_leaves_the_task();
        #[test]
        fn d1_3_d1_4_what_a_step_with_a_task_does_has_the_task_as_its_cause();
        #[test]
        fn q1_5_a_task_that_ends_leaves_nobody_runnable();
        #[test]
        fn t9_1_blocked_tasks_and_those_of_the_paused_name_no_tick();
    }
    task_graphs {
        #[test]
        fn a12_3_t4_3_l6_1_random_graphs_are_topological_equal_anywhere_and_end();
    }
    everything {
        #[test]
        fn t4_3_l6_1_random_programs_give_equal_digests_anywhere_replay_as_live_and_leave_nothing();
    }
        }
    };
    ($machine:ty: $($module:ident { $(#[test] fn $rule:ident();)* })*) => {
        $(mod $module {
            use super::*;

            $(#[test]
            fn $rule() {
                $crate::rules::$module::$rule::<$machine>();
            })*
        })*
    };
}

#[cfg(test)]
mod tests {
    /// Every rule of this folder is in the list above, and so is run.
    #[test]
    fn no_rule_is_left_out_of_the_list() {
        let list = include_str!("mod.rs");
        for source in [
            include_str!("time.rs"),
            include_str!("open.rs"),
            include_str!("schedule.rs"),
            include_str!("agents.rs"),
            include_str!("calls.rs"),
            include_str!("supervision.rs"),
            include_str!("groups.rs"),
            include_str!("save_points.rs"),
            include_str!("endings.rs"),
            include_str!("commit.rs"),
            include_str!("deliveries.rs"),
            include_str!("digests.rs"),
            include_str!("inference.rs"),
            include_str!("faults.rs"),
            include_str!("tasks.rs"),
            include_str!("task_graphs.rs"),
            include_str!("everything.rs"),
        ] {
            let rules = source.lines().filter_map(|line| line.strip_prefix("pub fn "));
            for rule in rules {
                let name = rule.split('<').next().expect("a name");
                assert!(list.contains(&format!(" fn {name}();")), "{name}");
            }
        }
    }
}
