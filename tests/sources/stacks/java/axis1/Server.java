import java.net.InetAddress;
import java.net.ServerSocket;
import org.apache.axis.client.AdminClient;
import org.apache.axis.transport.http.SimpleAxisServer;

/** Serves what WSDL2Java generated, on loopback. Argument: its deploy.wsdd. */
public class Server {
    public static void main(String[] given) throws Exception {
        SimpleAxisServer server = new SimpleAxisServer();
        ServerSocket socket = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
        server.setServerSocket(socket);
        server.start();
        int port = socket.getLocalPort();
        String admin = "http://127.0.0.1:" + port + "/axis/services/AdminService";
        System.out.println(new AdminClient().process(new String[] {"-l" + admin, given[0]}));
        System.out.println("ready " + port);
        System.in.read(); // until the test goes
        System.exit(0);
    }
}
