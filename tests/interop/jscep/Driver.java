import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * Performs one order for each line of standard input, and answers each with a line on standard
 * output: {"answer": ...}, or {"error": TYPE, "text": ..., "cause": the innermost text}.
 *
 * <p>One process for all orders, because a JVM takes longer to start than an enrolment takes.
 */
public final class Driver {
    private Driver() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        // Whatever a library prints must not be taken for an answer.
        System.setOut(System.err);
        BufferedReader orders =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            answers.println(answer(line));
        }
        // The threads of the servers would keep the process.
        System.exit(0);
    }

    private static JsonObject answer(String line) {
        JsonObject reply = new JsonObject();
        try {
            reply.add("answer", perform(Order.parse(line)));
        } catch (Exception problem) {
            Throwable cause = problem;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            reply.addProperty("error", problem.getClass().getSimpleName());
            reply.addProperty("text", String.valueOf(problem.getMessage()));
            reply.addProperty("cause", String.valueOf(cause.getMessage()));
        }
        return reply;
    }

    private static JsonObject perform(Order order) throws Exception {
        return switch (order.text("do")) {
            case "serve" -> Authority.serve(order);
            case "capabilities" -> Requester.of(order).capabilities();
            case "ca" -> Requester.of(order).ca();
            case "rollover" -> Requester.of(order).rollover();
            case "enrol" -> Requester.of(order).enrol();
            case "poll" -> Requester.of(order).poll();
            case "certificate" -> Requester.of(order).certificate();
            case "crl" -> Requester.of(order).crl();
            default -> throw new IllegalArgumentException("unknown: " + order.text("do"));
        };
    }
}
