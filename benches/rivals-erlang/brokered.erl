%% What a user would write in Erlang instead: N processes that pass messages of 64 bytes on through
%% an orchestrator process. benches/src/brokered.rs runs it with escript, compiled.
%%
%%   escript brokered.erl AGENTS SEGMENTS ROUNDS
%%
%% An agent gets a message, checks that it has the count that it must find, and sends it on with the
%% next; the orchestrator looks the receiver up and forwards it. N messages are under way at any
%% time. Segments of ROUNDS times N messages are timed; the median, in ns a message, and the number
%% of messages go to standard output as JSON.
-module(brokered).
-mode(compile).
-export([main/1]).

agent(Next, Hops, Orchestrator) ->
    receive
        {message, <<Count:64/little, Rest/binary>>} when Count =:= Hops + 1 ->
            Orchestrator ! {send, Next, <<(Count + 1):64/little, Rest/binary>>},
            agent(Next, Count, Orchestrator);
        Other ->
            exit({wrong, Other})
    end.

route(0, _) ->
    ok;
route(Left, Agents) ->
    receive
        {send, To, Message} ->
            element(To + 1, Agents) ! {message, Message},
            route(Left - 1, Agents)
    end.

segment(Messages, Agents) ->
    Start = erlang:monotonic_time(nanosecond),
    ok = route(Messages, Agents),
    (erlang:monotonic_time(nanosecond) - Start) / Messages.

main(Arguments) ->
    [Count, Segments, Rounds] = [list_to_integer(Text) || Text <- Arguments],
    Self = self(),
    Start = fun(Number) ->
        spawn_link(fun() -> agent((Number + 1) rem Count, 0, Self) end)
    end,
    Agents = list_to_tuple([Start(Number) || Number <- lists:seq(0, Count - 1)]),
    First = <<1:64/little, 0:448>>,
    [Self ! {send, Number, First} || Number <- lists:seq(0, Count - 1)],
    Messages = Count * Rounds,
    segment(Messages, Agents),
    Figures = lists:sort([segment(Messages, Agents) || _ <- lists:seq(1, Segments)]),
    Median = lists:nth((Segments + 1) div 2, Figures),
    io:format("{\"message_ns\": ~.3f, \"messages\": ~b}~n", [Median, Messages * (Segments + 1)]),
    halt(0).
