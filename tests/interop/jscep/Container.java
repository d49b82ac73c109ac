import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import javax.servlet.ServletException;
import javax.servlet.ServletInputStream;
import javax.servlet.ServletOutputStream;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;

/**
 * As much of a servlet container as jscep's servlet asks for, on the HTTP server of the JDK.  A
 * method that is not here fails, so nothing is answered that no container would answer.
 */
final class Container {
    private final HttpExchange exchange;
    private final ByteArrayOutputStream body = new ByteArrayOutputStream();
    private final PrintWriter writer = new PrintWriter(body, false, StandardCharsets.UTF_8);
    private int status = 200;

    private Container(HttpExchange exchange) {
        this.exchange = exchange;
    }

    /** Serves on a free port of the loopback interface, and returns it. */
    static int serve(HttpServlet servlet) throws IOException {
        InetSocketAddress any = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
        HttpServer server = HttpServer.create(any, 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> new Container(exchange).answer(servlet));
        server.start();
        return server.getAddress().getPort();
    }

    private void answer(HttpServlet servlet) throws IOException {
        try (exchange) {
            try {
                servlet.service(request(), response());
                writer.flush();
            } catch (ServletException | RuntimeException problem) {
                fail(500, String.valueOf(problem));
            }
            byte[] content = body.toByteArray();
            exchange.sendResponseHeaders(status, content.length == 0 ? -1 : content.length);
            exchange.getResponseBody().write(content);
        }
    }

    private Object fail(int code, String text) {
        status = code;
        body.reset();
        body.writeBytes(text.getBytes(StandardCharsets.UTF_8));
        exchange.getResponseHeaders().set("Content-Type", "text/plain");
        return null;
    }

    private HttpServletRequest request() {
        return proxy(HttpServletRequest.class, (name, given) -> switch (name) {
            case "getMethod" -> exchange.getRequestMethod();
            case "getParameter" -> parameter((String) given[0]);
            case "getInputStream" -> input(exchange.getRequestBody());
            default -> throw new UnsupportedOperationException(name);
        });
    }

    private HttpServletResponse response() {
        return proxy(HttpServletResponse.class, (name, given) -> switch (name) {
            case "setHeader", "addHeader" -> {
                exchange.getResponseHeaders().set((String) given[0], (String) given[1]);
                yield null;
            }
            case "setStatus" -> {
                status = (int) given[0];
                yield null;
            }
            case "sendError" -> fail((int) given[0], (String) given[1]);
            case "getOutputStream" -> output(body);
            case "getWriter" -> writer;
            default -> throw new UnsupportedOperationException(name);
        });
    }

    /** Decoded as a form, so that a bare + is a blank, as in every container. */
    private String parameter(String name) {
        String query = exchange.getRequestURI().getRawQuery();
        for (String pair : (query == null ? "" : query).split("&")) {
            int end = pair.indexOf('=');
            if (end > 0 && pair.substring(0, end).equals(name)) {
                return URLDecoder.decode(pair.substring(end + 1), StandardCharsets.UTF_8);
            }
        }
        return null;
    }

    private static ServletInputStream input(InputStream source) {
        return new ServletInputStream() {
            @Override
            public int read() throws IOException {
                return source.read();
            }
        };
    }

    private static ServletOutputStream output(ByteArrayOutputStream sink) {
        return new ServletOutputStream() {
            @Override
            public void write(int octet) {
                sink.write(octet);
            }
        };
    }

    private interface Methods {
        Object call(String name, Object[] arguments);
    }

    private static <T> T proxy(Class<T> type, Methods methods) {
        return type.cast(Proxy.newProxyInstance(
                type.getClassLoader(), new Class<?>[] {type},
                (self, method, arguments) -> methods.call(method.getName(), arguments)));
    }
}
